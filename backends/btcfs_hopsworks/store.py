"""The feature store in a Hopsworks project."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from btcfs import catalogue, instants, point_in_time
from btcfs.definitions import Definition, FeatureGroup, FeatureView
from btcfs.errors import StoreUnavailable
from btcfs.store import Capability, Commit, FeatureVector, Summary, WriteReport
from btcfs_hopsworks import applying, columns, forecast, ledger, others, serving, staging
from btcfs_hopsworks.address import Address
from btcfs_hopsworks.gateway import monitoring, observing
from btcfs_hopsworks.gateway.monitoring import Monitoring
from btcfs_hopsworks.gateway.session import acquire, release
from btcfs_hopsworks.history import Asked
from btcfs_hopsworks.ledger import Snapshot
from btcfs_hopsworks.others import OtherGroup
from btcfs_hopsworks.quota import Budget, QuotaMeter, Usage
from btcfs_hopsworks.shared import Shared, shared_by
from btcfs_hopsworks.vectors import TRUSTED, Vectors


def open_store(
    address: Address, quota_file: Path, budget: Budget, *, lock_timeout: float, defaults: Mapping[str, str] | None
) -> HopsworksStore:
    """The store of that project; see ``btcfs_hopsworks.connect``."""
    session = acquire(address, lambda: (QuotaMeter(quota_file, budget),))
    try:
        shared = session.shared.get("store") or session.shared.setdefault("store", shared_by(session))
        shared.ledger.refresh()
        return HopsworksStore(shared, lock_timeout, dict(defaults or {}))
    except BaseException:  # whatever stopped it, nobody else could release it
        release(session)
        raise


class HopsworksStore:
    """A ``FeatureStore`` in a Hopsworks project, for many readers and one writer at a time on this machine.

    Rows are kept for ever in an offline log, where corrections stand beside what they correct, and the
    newest state of each key in the online table. A write counts from the moment its last step, one row
    of the catalogue, is there. Writers on two machines are not kept out of each other's way: have one.
    """

    name = "hopsworks"
    capabilities = frozenset(Capability)

    def __init__(self, shared: Shared, lock_timeout: float, defaults: Mapping[str, str]) -> None:
        self._shared: Shared | None = shared
        self.place = shared.session.address.title  # which no other store of this backend shares
        self._timeout = lock_timeout
        self._vectors = Vectors(shared.ledger, shared.logs, shared.doors, defaults, self.name)

    def apply(self, definition: FeatureGroup | FeatureView) -> None:
        shared = self._opened()
        if definition not in shared.ledger.refresh().definitions:
            with self.exclusive():
                applying.apply(shared, definition)

    def definitions(self) -> Sequence[Definition]:
        return self._opened().ledger.refresh().definitions

    def delete(self, definition: FeatureGroup | FeatureView, *, all_versions: bool = False) -> None:
        shared = self._opened()
        with self.exclusive():
            applying.delete(shared, definition, all_versions=all_versions)

    def write(
        self, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame], *, commit: Commit | None = None
    ) -> WriteReport:
        shared = self._opened()
        catalogue.same(shared.ledger.recent(TRUSTED).definitions, group)
        with self.exclusive():
            return shared.writer.write(group, rows, commit)

    def read(
        self,
        group: FeatureGroup,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        entity: Mapping[str, str] | None = None,
        columns: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> pd.DataFrame:
        snapshot = self._opened_for(group, entity)
        chosen = catalogue.chosen_columns(group, columns)
        asked = Asked(instants.micros_of(start), instants.micros_of(end), dict(entity or {}), instants.micros_of(as_of))
        return self._opened().logs.frame(group, snapshot.head(group), asked, chosen)

    def commits(self, group: FeatureGroup) -> Sequence[Commit]:
        head = self._opened_for(group, None).head(group)
        return self._opened().logs.commits(group, head)

    def changes(
        self, group: FeatureGroup, commit: Commit, start: datetime | None = None, end: datetime | None = None
    ) -> pd.DataFrame:
        found = catalogue.find_commit(group, self.commits(group), commit)
        head = self._opened_for(group, None).head(group)
        asked = Asked(instants.micros_of(start), instants.micros_of(end), commit=instants.to_micros(found.committed_at))
        return self._opened().logs.frame(group, head, asked, group.columns)

    def summary(self, group: FeatureGroup, entity: Mapping[str, str] | None = None) -> Summary:
        head = self._opened_for(group, entity).head(group)
        if head.spans is not None and (not entity or set(entity) == set(group.entity)):
            wanted = None if not entity else staging.digest_of(group, entity)
            spans = [span for digest, span in head.spans.items() if wanted in (None, digest)]
            if not spans:
                return Summary(0)
            first, last = min(low for _, low, _ in spans), max(high for _, _, high in spans)
            return Summary(sum(rows for rows, _, _ in spans), instants.from_micros(first), instants.from_micros(last))
        table = self._opened().logs.table(group, head, Asked(entity=dict(entity or {})), ())
        if table is None or table.num_rows == 0:
            return Summary(0)
        events = table.column(columns.EVENT).to_numpy()
        return Summary(len(events), instants.from_micros(int(events.min())), instants.from_micros(int(events.max())))

    def get_historical_features(
        self, view: FeatureView, spine: pd.DataFrame, *, as_of: datetime | None = None
    ) -> pd.DataFrame:
        shared = self._opened()
        snapshot = shared.ledger.refresh()
        catalogue.same(snapshot.definitions, view)
        known_at = instants.micros_of(as_of)

        def rows(group: FeatureGroup, names: tuple[str, ...], end: datetime) -> pd.DataFrame:
            asked = Asked(end=instants.micros_of(end), as_of=known_at)
            return shared.logs.frame(group, snapshot.head(group), asked, names)

        return point_in_time.join(catalogue.resolve(snapshot.definitions, view), spine, rows)

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        if self._shared is None:
            self._opened()
        return self._vectors.get(view, keys)

    def change_token(self, groups: Sequence[tuple[str, int]]) -> Hashable:
        """A value that differs after any commit to one of these (name, version) groups or any change of a view over them.

        Changes by other processes show within a second.
        """
        return _token(self._opened().ledger.recent(TRUSTED), tuple(groups))

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        shared = self._opened()
        with shared.turns.exclusive(self._timeout):
            yield

    @property
    def native(self) -> Any:
        """The client's own feature store, for what btcfs does not offer; what is done with it, btcfs does not see."""
        return self._opened().session.store

    def ui_url(self, definition: FeatureGroup | FeatureView) -> str:
        """The page of a stored group or view in Hopsworks. NotFound if it is not stored."""
        shared = self._opened()
        snapshot = shared.ledger.refresh()
        catalogue.same(snapshot.definitions, definition)
        return serving.page(shared.session, definition, shared.logs, snapshot)

    def usage(self) -> Usage:
        """The calls and bytes of this month, their forecast and the budget."""
        return self._opened().meter.usage()

    def forecast_calls(self, group: FeatureGroup, rows: int, writes: int) -> Mapping[str, int]:
        """Calls by kind to write so many rows of a group in so many writes, and read them back once."""
        return forecast.calls(rows, writes, new=group not in self.definitions())

    def compute_statistics(self, group: FeatureGroup) -> dict[str, dict[str, Any]]:
        """Have Hopsworks compute and show the statistics of a group; they are returned by feature.

        They are of every row of the log, corrected ones included. StoreUnavailable if the job does not end in time.
        """
        shared, handle = self._handle(group)
        observing.compute_statistics(shared.session, handle, shared.session.address.write_timeout)
        return observing.statistics(shared.session, handle)

    def create_monitoring(
        self,
        group: FeatureGroup,
        feature: str,
        *,
        name: str | None = None,
        window: str = "1d",
        reference: str = "1w1d",
        metric: str = "mean",
        threshold: float = 0.5,
        cron: str = "0 0 12 ? * * *",
    ) -> str:
        """Make a feature-monitoring configuration in Hopsworks; its page.

        The feature's ``metric`` over the last ``window`` is compared with that of as long a window that began
        ``reference`` ago, at each time of the Quartz expression ``cron`` (UTC); a difference above ``threshold`` is a
        shift. Windows are by event time. SchemaError for an unknown feature; DefinitionError for a name that is taken
        and for whatever the client refuses.
        """
        catalogue.refuse_unknown(group, "feature", [feature], group.feature_names)
        shared, handle = self._handle(group)
        named = name or f"btcfs_{feature}_{metric}".lower()
        wanted = Monitoring(named, columns.name_of(feature), metric, threshold, window, reference, cron)
        return monitoring.create(shared.session, handle, wanted)

    def monitorings(self, group: FeatureGroup) -> list[Monitoring]:
        """The feature-monitoring configurations of a group, those that others made among them, by name."""
        shared, handle = self._handle(group)
        return monitoring.listed(shared.session, handle)

    def delete_monitoring(self, group: FeatureGroup, name: str) -> None:
        """Remove a feature-monitoring configuration and what it found. NotFound if there is none of that name."""
        shared, handle = self._handle(group)
        monitoring.delete(shared.session, handle, name)

    def other_groups(self) -> list[OtherGroup]:
        """The feature groups of the project that were made by other hands, by name and version."""
        shared = self._opened()
        ours = {d.ref for d in self.definitions() if isinstance(d, FeatureGroup)} | {(ledger.NAME, ledger.VERSION)}
        return others.listed(shared.session, ours)

    def read_other(
        self,
        name: str,
        version: int = 1,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Rows of a group made by other hands, with ``start <= event time < end``, in the types that Hopsworks gives.

        NotFound for an unknown group; SchemaError for an unknown column.
        """
        return others.read(self._opened().session, name, version, columns, start, end)

    def other_vector(self, view: str, version: int, key: Mapping[str, Any]) -> dict[str, Any]:
        """The online values by feature for a key of a view made by other hands. NotFound for an unknown view or key."""
        return others.vector(self._opened().session, view, version, key)

    def close(self) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            release(shared.session)

    def __enter__(self) -> HopsworksStore:
        self._opened()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _handle(self, group: FeatureGroup) -> tuple[Shared, Any]:
        head = self._opened_for(group, None).head(group)
        shared = self._opened()
        return shared, shared.logs.handle(group, head)

    def _opened(self) -> Shared:
        if self._shared is None:
            raise StoreUnavailable(
                f"this store of {self.place} is closed; open another with btcfs.connect('hopsworks', project=...)"
            )
        return self._shared

    def _opened_for(self, group: FeatureGroup, entity: Mapping[str, str] | None) -> Snapshot:
        snapshot = self._opened().ledger.refresh()
        catalogue.same(snapshot.definitions, group)
        catalogue.check_entity(group, entity)
        return snapshot


def _token(snapshot: Snapshot, refs: tuple[tuple[str, int], ...]) -> Hashable:
    changed = [snapshot.records.get(f"group/{name}/{version}") for name, version in refs]
    views = [record.defined for record in snapshot.records.values() if record.entry.startswith("view/")]
    return (tuple([0 if record is None else record.changed for record in changed]), max(views, default=0))
