"""The guide's feature store class: its methods, arguments and attributes, over whichever backend is configured."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from btcfs import catalogue, frames
from btcfs.backends import names
from btcfs.bitcoin.handles import CommitReport, GroupHandle, ViewHandle, candle_time
from btcfs.bitcoin.ingestion import ingest_frame
from btcfs.bitcoin.monitoring import MonitoringReport, monitored
from btcfs.bitcoin.project import NativeStore, Project
from btcfs.config import Config, load
from btcfs.connection import connect
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView, Label
from btcfs.errors import BtcfsError, ConfigError, DefinitionError, NotFound, StoreUnavailable, Unsupported
from btcfs.instants import now, parse_instant
from btcfs.pipeline.plan import Plan, plan
from btcfs.pipeline.standard import check_label, create_views, named
from btcfs.pipeline.statistics import Profile
from btcfs.pipeline.tombstones import refuse_reuse
from btcfs.plugins import Plugins, installed_plugins
from btcfs.store import FeatureStore

_log = logging.getLogger(__name__)

Instant = datetime | str


class BitcoinFeatureStore:
    """A feature store for Bitcoin with the guide's interface; nothing is opened before ``connect``.

    An ``api_key`` and ``project_name`` are for the Hopsworks backend, which a key chooses unless
    ``backend`` names another. ``models_dir`` is where training sets are kept.
    """

    def __init__(
        self,
        api_key: str | None = None,
        project_name: str = "bitcoin_ml_pipeline",
        *,
        backend: str | None = None,
        config: Config | None = None,
        store: FeatureStore | None = None,
        plugins: Plugins | None = None,
        models_dir: str | Path = "models",
    ) -> None:
        self.project = Project(project_name)
        self.models_dir = Path(models_dir)
        self._api_key = api_key
        self._backend = backend
        self._given = config
        self._plugins = plugins
        self._store = store
        self._opened: FeatureStore | None = None

    def connect(self, *, strict: bool = False) -> bool:
        """Open the store; whether that worked. With ``strict``, what prevents it is raised instead of logged."""
        if self._opened is not None:
            return True
        try:
            self._opened = self._store or self._connected()
        except BtcfsError as exc:
            if strict:
                raise
            _log.warning("not connected: %s", exc)
            return False
        return True

    def close(self) -> None:
        """Close the store, unless it was given to the constructor."""
        opened, self._opened = self._opened, None
        if opened is not None and self._store is None:
            opened.close()

    def __enter__(self) -> BitcoinFeatureStore:
        self.connect(strict=True)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def store(self) -> FeatureStore:
        """The open store. StoreUnavailable before ``connect``."""
        if self._opened is None:
            raise StoreUnavailable("not connected; call connect() first, with strict=True to see what prevents it")
        return self._opened

    @property
    def fs(self) -> NativeStore:
        """Access to groups of any name, and the store's number."""
        return NativeStore(self)

    @property
    def native(self) -> Any:
        """The backend's own client, such as the ``hsfs`` feature store, for what btcfs does not offer.

        What is done with it, btcfs does not see. Unsupported where the backend has no client of its own.
        """
        try:
            return self.store.native  # type: ignore[attr-defined]  # beyond the protocol
        except AttributeError as exc:
            raise Unsupported(f"backend {self.store.name!r} has no client of its own") from exc

    @cached_property
    def config(self) -> Config:
        return load() if self._given is None else self._given

    @cached_property
    def plugins(self) -> Plugins:
        return installed_plugins(self.config.block_plugins) if self._plugins is None else self._plugins

    @cached_property
    def plan(self) -> Plan:
        """How the standard group's features are computed."""
        return plan(self.plugins.indicators(), self.config.interval, self.config.features or None)

    def ui_url(self, group: GroupHandle) -> str | None:
        """Where a person can look at a group, if the backend has such a place."""
        url = getattr(self.store, "ui_url", None)
        return None if url is None or group.definition is None else url(group.definition)

    def create_bitcoin_features_fg(
        self, version: int = 1, description: str = "Bitcoin OHLCV and technical indicators"
    ) -> GroupHandle:
        """The standard feature group in that version: the stored one, or one that the first ingest defines."""
        return self.group(named("bitcoin_features", self.config.interval), version, description)

    def group(self, name: str, version: int = 1, description: str = "") -> GroupHandle:
        """The group of that name and version, stored or yet to be."""
        try:
            found = catalogue.find_group(self.store.definitions(), name, version)
        except NotFound:
            return GroupHandle(self.store, name, version, description)
        return GroupHandle(self.store, name, version, found.description, found)

    def ingest_features(
        self,
        df: pd.DataFrame,
        feature_group: GroupHandle | None = None,
        write_options: dict[str, Any] | None = None,
    ) -> CommitReport:
        """Write a frame of features, by default into the standard group; see ``ingest_frame``."""
        handle = feature_group or self.create_bitcoin_features_fg()
        return ingest_frame(self.store, df, handle, self.plan, self.config.symbol, self.plugins, write_options)

    def create_feature_view(
        self,
        name: str | None = None,
        version: int = 1,
        feature_group: GroupHandle | None = None,
        label_column: str | None = None,
    ) -> ViewHandle:
        """The view of that name and version: the stored one, or a new one over all features of the group.

        The standard training view (no name) comes with its inference twin, and with a label whether
        or not one is named, so that it does not matter who creates it first. DefinitionError if the
        stored view has another label or is over another group than asked for.
        """
        name = name or named("bitcoin_training_view", self.config.interval)
        try:
            stored = catalogue.find_view(self.store.definitions(), name, version)
        except NotFound:
            return self._handle(self._new_view(name, version, feature_group, label_column))
        if label_column is not None and (stored.label is None or stored.label.column != label_column):
            has = "no label" if stored.label is None else f"a label on {stored.label.column!r}"
            raise DefinitionError(f"{stored.title} is stored with {has}, not {label_column!r}; use another version")
        if feature_group is not None and (feature_group.name, feature_group.version) != stored.groups[0]:
            raise DefinitionError(
                f"{stored.title} is over {stored.groups[0]}, not {feature_group.name}; use another version"
            )
        return self._handle(stored)

    def get_training_data(
        self,
        feature_view: ViewHandle | None = None,
        start_time: Instant | None = None,
        end_time: Instant | None = None,
        training_dataset_version: str | None = None,
    ) -> tuple[pd.DataFrame, pd.Series]:
        """Features and label, a row per candle in time order, every value known; ``start <= event time < end``.

        The set is written under ``models_dir``, beside it that it was not split, and its hash is in
        ``X.attrs["training_dataset_version"]``;
        given as ``training_dataset_version``, it reads the same bits again, whatever was stored since.
        """
        from btcfs.training.dataset_files import read_training_set, write_training_set
        from btcfs.training.datasets import materialise
        from btcfs.training.splits import unsplit

        if training_dataset_version is not None:
            data = read_training_set(self.models_dir, training_dataset_version)
        else:
            view = (feature_view or self.create_feature_view()).view
            data = materialise(
                self.store,
                view,
                entity={"symbol": self.config.symbol},
                start=_instant(start_time),
                end=_instant(end_time),
            )
            write_training_set(data, self.models_dir, unsplit(data.event_times))
        index = pd.DatetimeIndex(frames.from_micros_array(data.event_times), name="event_time")
        X = pd.DataFrame(data.X, columns=list(data.features), index=index)
        X.attrs.update(training_dataset_version=data.hash, dropped=dict(data.provenance.get("dropped", {})))
        return X, pd.Series(data.y, index=index, name=data.label.name)

    def get_batch_data(
        self,
        feature_view: ViewHandle | None = None,
        start_time: Instant | None = None,
        end_time: Instant | None = None,
        *,
        with_keys: bool = False,
    ) -> pd.DataFrame:
        """The view's features of every stored candle with ``start <= event time < end``, indexed by open time.

        Columns: ``timestamp`` (open time, UTC) and the features; ``with_keys`` puts the other columns of the
        key and the event time before them.
        """
        view = (feature_view or self.create_feature_view()).view
        leading = catalogue.resolve(self.store.definitions(), view).leading
        spine = self.store.read(
            leading,
            _instant(start_time),
            _instant(end_time),
            entity={"symbol": self.config.symbol},
            columns=[*leading.primary_key, leading.event_time],
        )
        keys = spine.columns if with_keys else [TIME_KEY]
        rows = self.store.get_historical_features(view, spine)[[*keys, *view.features]]
        return rows.set_axis(pd.DatetimeIndex(rows[TIME_KEY], name=None), axis=0)

    def get_online_features(
        self, feature_view: ViewHandle | None = None, entry: Mapping[str, Any] | None = None
    ) -> dict[str, float]:
        """The stored vector of a key by feature name; the newest one without an ``entry``. NotFound if there is none."""
        handle = feature_view or self.create_feature_view()
        values = handle.get_feature_vector(entry or {})
        return dict(zip(handle.features, map(float, values), strict=True))

    def compute_statistics(self, feature_group: GroupHandle) -> pd.DataFrame:
        """Statistics of all the group's rows, one row per feature, indexed by its name."""
        group = self._stored(feature_group)
        profile = Profile(group)
        profile.add(self.store.read(group))
        table = profile.table("none", now()).drop(columns=["feature_group", "timestamp", "event_time", "commit_id"])
        return table.set_index("feature")

    def get_feature_monitoring(self, feature_group_name: str, version: int = 1) -> MonitoringReport:
        """How the group is doing: ``total_records``, ``missing_pct``, ``drift_status`` and what they rest on."""
        group = catalogue.find_group(self.store.definitions(), feature_group_name, version)
        return monitored(group, self.store.read(group))

    def delete_feature_group(
        self,
        name: str,
        version: int | None = None,
        *,
        all_versions: bool = False,
        dry_run: bool = False,
        force_reason: str | None = None,
        keep_days: int = 30,
    ) -> list[str]:
        """Delete one version of a group, or all if asked in so many words; what goes, by title.

        Its rows are kept for ``keep_days`` in ``.btcfs/deleted``; see ``btcfs.transfer.retiring.retire``.
        DefinitionError without a version and without ``all_versions``, while a view uses the group, and
        while a model under ``models_dir`` does unless there is a ``force_reason``; NotFound if there is none.
        """
        from btcfs.transfer.retiring import plan_retirement, retire

        if version is None and not all_versions:
            raise DefinitionError(f"which version of {name!r}? Pass version=1, or all_versions=True to delete them all")
        group = catalogue.find_group(self.store.definitions(), name, version)
        chosen: dict[str, Any] = {"all_versions": all_versions, "force_reason": force_reason}
        if dry_run:
            return plan_retirement(self.store, group, models_dir=self.models_dir, **chosen).titles
        return retire(self.store, group, models_dir=self.models_dir, keep_days=keep_days, **chosen).titles

    def candle_time(self, instant: Instant, feature_view: ViewHandle | None = None) -> datetime:
        """The open time of the candle in which an instant lies."""
        return candle_time(self.store, (feature_view or self.create_feature_view()).view, instant)

    def _new_view(self, name: str, version: int, handle: GroupHandle | None, label_column: str | None) -> FeatureView:
        group = self._stored(handle or self.create_bitcoin_features_fg())
        label = Label(column=label_column or "close")
        check_label(group, label)
        if name == named("bitcoin_training_view", self.config.interval):
            return create_views(self.store, group, label, version=version).training
        features = [feature.name for feature in group.features if feature.numeric]
        view = FeatureView(name, version, [group.ref], features, label if label_column is not None else None)
        refuse_reuse(self.store, view)
        self.store.apply(view)
        return view

    def _stored(self, handle: GroupHandle) -> FeatureGroup:
        """The handle's group; the standard one is stored now if it is not yet."""
        if handle.definition is None:
            standard = named("bitcoin_features", self.config.interval)
            if handle.name != standard or handle.version != 1:
                raise NotFound(f"{handle.name} v{handle.version} is not stored; ingest_features defines it")
            handle.definition = self.plan.group(standard, 1, handle.description)
            refuse_reuse(self.store, handle.definition)
            self.store.apply(handle.definition)
        return handle.definition

    def _handle(self, view: FeatureView) -> ViewHandle:
        return ViewHandle(self.store, view, self.config.symbol)

    def _connected(self) -> FeatureStore:
        if self._api_key is None:
            return connect(self._backend, config=self.config)
        name = self._backend or "hopsworks"
        if name not in names():
            raise ConfigError(f"an api_key is for the backend 'hopsworks', which is not installed; there are {names()}")
        if name != "hopsworks":
            _log.warning("the api_key is not used: backend %r was asked for", name)
            return connect(name, config=self.config)
        return connect(name, config=self.config, api_key=self._api_key, project=self.project.name)


def _instant(value: Instant | None) -> datetime | None:
    return parse_instant(value) if isinstance(value, str) else value
