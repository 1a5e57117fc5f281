"""Feature views that others made in a repository, read as btcfs groups: nothing is changed, nothing is copied."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from btcfs.definitions import TIME_KEY, Feature, FeatureGroup, FeatureView
from btcfs.errors import BtcfsError, DefinitionError, SchemaError, StoreUnavailable, Unsupported
from btcfs.instants import from_micros, to_micros
from btcfs_feast.cells import NEWEST, Cell
from btcfs_feast.naming import SEQ
from btcfs_feast.repository import Repository
from btcfs_feast.shelf import Asked, Draft, Entry, schema

logger = logging.getLogger(__name__)

_DTYPES = {
    "FLOAT": "float64",
    "DOUBLE": "float64",
    "INT32": "int64",
    "INT64": "int64",
    "BOOL": "bool",
    "STRING": "string",
    "UNIX_TIMESTAMP": "timestamp",
}
_KEYS = {"STRING": str, "INT32": int, "INT64": int}
_INSTANT = pa.timestamp("us", "UTC")


@attrs.frozen(eq=False)
class Foreign:
    """A Feast FeatureView of someone else as a group: keyed by entity and event time, version 1."""

    view: Any
    group: FeatureGroup
    key_types: tuple[Callable[[str], Any], ...]

    def expired(self, event_time: int) -> bool:
        """Whether a row is beyond the view's time to live, which no online store of Feast enforces (feast-dev/feast#6821)."""
        ttl = self.view.ttl or timedelta(0)
        return bool(ttl) and from_micros(event_time) < datetime.now(timezone.utc) - ttl


def groups(views: Iterable[Any]) -> list[Foreign]:
    """The views that a group can stand for."""
    found = (_foreign(view) for view in views)
    return [each for each in found if each is not None]


def view_of(service: Any, known: Sequence[FeatureGroup]) -> FeatureView | None:
    """A FeatureService of someone else as a view, None if it holds what a view cannot."""
    by_name = {group.name: group for group in known}
    parts = [by_name.get(p.name) for p in service.feature_view_projections]
    names = [feature.name for p in service.feature_view_projections for feature in p.features]
    numeric = {f.name for group in parts if group is not None for f in group.features if f.numeric}
    if None in parts or len(set(names)) < len(names) or not set(names) <= numeric:
        logger.debug("the FeatureService %s is no view of numbers that btcfs can read", service.name)
        return None
    try:
        refs = [group.ref for group in parts if group is not None]
        return FeatureView(service.name, 1, refs, names, description=service.description)
    except DefinitionError as exc:
        logger.debug("the FeatureService %s cannot be read as a view: %s", service.name, exc)
        return None


class ForeignTable:
    """The ``Shelf`` of a group of someone else: read through Feast's own call, never written."""

    def __init__(self, repository: Repository, foreign: Foreign, *, scan: bool) -> None:
        self._repository = repository
        self._foreign = foreign
        self._scan = scan

    def create(self) -> None:
        raise self._refused("created")

    def drop(self) -> None:
        raise self._refused("deleted")

    def source(self) -> Any:
        return self._foreign.view.batch_source

    def online_source(self) -> Any:
        return self._foreign.view.batch_source

    def entries(self) -> Sequence[Entry]:
        return []

    def draft(self, seq: int, commit_id: str, at: int) -> Draft:
        raise self._refused("written")

    def states(self, asked: Asked) -> pa.Table:
        """The states that Feast pulls, those that became known later last.

        ``pull_all_from_table_or_query`` means the same in every offline store, with both ends in the range;
        ``get_historical_features(start_date=)`` does not (feast-dev/feast#1611).
        """
        group, source = self._foreign.group, self._foreign.view.batch_source
        if not self._scan and asked.opens is None:
            return pa.schema([*schema(group)]).empty_table().select([*dict.fromkeys((*asked.columns, SEQ))])
        if not self._scan:
            raise Unsupported(f"{group.title} is served online by its entity alone; with scan=True also by the time")
        created = source.created_timestamp_column or None
        if asked.as_of is not None and created is None:
            raise Unsupported(f"{group.title} does not record when its rows became known, so there is no as_of")
        features = [name for name in asked.columns if name in group.feature_names]
        table = self._pulled(features, created, asked)
        rows = self._typed(table, features)
        known = None if created is None else _instants(table.column(created))
        if known is not None:
            # Rows of one event time: the one that became known last counts. Feast's Dask and Ray stores sort twice by an
            # unstable sort and take an older one (feast-dev/feast#5228).
            order = pc.sort_indices(known)
            rows, known = rows.take(order), known.take(order)
        rows = rows.append_column(SEQ, pa.array(np.arange(1, rows.num_rows + 1)))
        return rows.filter(_wanted(group, rows, known, asked)).select([*dict.fromkeys((*asked.columns, SEQ))])

    def _pulled(self, features: Sequence[str], created: str | None, asked: Asked) -> pa.Table:
        view, feast = self._foreign.view, self._repository.feast
        source = view.batch_source
        named = {to: name for name, to in (source.field_mapping or {}).items()}
        low = datetime(1, 1, 2, tzinfo=timezone.utc) if asked.start is None else from_micros(asked.start)
        high = datetime(9999, 12, 30, tzinfo=timezone.utc) if asked.end is None else from_micros(asked.end)
        with self._repository.translated("offline store"):
            job = feast.provider.offline_store.pull_all_from_table_or_query(
                config=feast.config,
                data_source=source,
                join_key_columns=[named.get(name, name) for name in view.join_keys],
                # Without features some stores give all columns; the first does no harm.
                feature_name_columns=[named.get(n, n) for n in features or self._foreign.group.feature_names[:1]],
                timestamp_field=source.timestamp_field,
                created_timestamp_column=created,
                start_date=low,
                end_date=high,
            )
            table = job.to_arrow()
        return table.rename_columns([(source.field_mapping or {}).get(name, name) for name in table.column_names])

    def _typed(self, table: pa.Table, features: Sequence[str]) -> pa.Table:
        group, types = self._foreign.group, schema(self._foreign.group)
        events = _instants(table.column(self._foreign.view.batch_source.timestamp_field))
        columns: dict[str, Any] = {}
        for name in group.entity:
            columns[name] = table.column(name).cast(pa.string())
        columns[TIME_KEY] = columns[group.event_time] = events
        for name in features:
            column = table.column(name)
            if group.dtypes[name] in ("int64", "bool") and column.null_count:
                raise SchemaError(
                    f"{group.title}: column {name!r} is missing in a row, and a {group.dtypes[name]} never is"
                )
            if group.dtypes[name] == "timestamp":
                columns[name] = _instants(column)
                continue
            column = column.cast(types.field(name).type)
            columns[name] = pc.fill_null(column, float("nan")) if group.dtypes[name] == "float64" else column
        return pa.table(columns)

    def _refused(self, what: str) -> BtcfsError:
        return Unsupported(
            f"{self._foreign.group.title} is the Feast feature view {self._foreign.view.name!r} of someone else; btcfs reads "
            f"it, and it is not {what} here"
        )


class ForeignOnline:
    """The online rows of a feature view of someone else, as Feast serves them."""

    def __init__(self, repository: Repository, foreign: Foreign) -> None:
        self._repository = repository
        self._foreign = foreign
        self._numeric = [feature.name for feature in foreign.group.features if feature.numeric]
        self._references = [f"{foreign.view.name}:{name}" for name in self._numeric]
        self._catch_up()

    def cells(self, asked: Sequence[tuple[tuple[str, ...], str]]) -> list[Cell | None]:
        """The newest row of each entity; Feast has no other online, so any other key has none."""
        wanted = [entity for entity, key in asked if key == NEWEST]
        if not wanted or not self._references:
            return [None] * len(asked)
        found = iter(self._newest(wanted))
        return [next(found) if key == NEWEST else None for _, key in asked]

    def _newest(self, entities: Sequence[tuple[str, ...]]) -> list[Cell | None]:
        names, types = self._foreign.group.entity, self._foreign.key_types
        try:
            rows = [{n: t(v) for n, t, v in zip(names, types, entity, strict=True)} for entity in entities]
        except ValueError:
            # One of them is no number where the entity is one; the others may be known.
            if len(entities) == 1:
                return [None]
            return [cell for entity in entities for cell in self._newest([entity])]
        try:
            with self._repository.translated("online store"), self._repository.online():
                answer = self._repository.feast.get_online_features(features=self._references, entity_rows=rows)
        except ValueError as exc:
            # Its owner may have disabled it, or be materializing it (feast-dev/feast#6780).
            raise StoreUnavailable(
                f"Feast does not serve {self._foreign.group.title}: {exc} Ask again when that is over"
            ) from exc
        content = answer.to_dict(include_event_timestamps=True)
        return [self._cell(content, row) for row in range(len(entities))]

    def _catch_up(self) -> None:
        """Have Feast look the view up as it is now: ``get_online_features`` takes it from a copy of the registry, which
        may be ten minutes older than the view (feast-dev/feast#5601)."""
        name = self._foreign.view.name
        with self._repository.translated("registry"):
            if not self._known():
                # The copy above was asked last, so that Feast does not take the new one for it; see ``OnlineView``.
                self._repository.feast.refresh_registry()
            if not self._known():
                raise StoreUnavailable(
                    f"Feast cannot bring its copy of the registry of {self._repository.root} up to date, and serves no "
                    f"feature view {name!r} or another than is there now. See what feast feature-views list reports"
                )

    def _known(self) -> bool:
        from feast.errors import FeastObjectNotFoundException

        registry, project, view = self._repository.feast.registry, self._repository.project, self._foreign.view
        try:
            found = registry.get_any_feature_view(view.name, project, allow_cache=True)
        except FeastObjectNotFoundException:
            return False
        return bool(found.to_proto() == view.to_proto())

    def _cell(self, content: dict[str, list[Any]], row: int) -> Cell | None:
        times = [content[f"{name}__ts"][row] for name in self._numeric]
        event = max(times)
        # Redis calls an unknown entity PRESENT, at the time 0 (feast-dev/feast#2960).
        if event <= 0 or self._foreign.expired(event * 1_000_000):
            return None
        values = [content[name][row] for name in self._numeric]
        floats = np.array([np.nan if value is None else float(value) for value in values])
        return Cell(event * 1_000_000, event * 1_000_000, floats)


def _foreign(view: Any) -> Foreign | None:
    """The group of a view, None if its keys, its name or its time are not such as a group has."""
    source = view.batch_source
    keys = {column.name: column.dtype for column in view.entity_columns}
    types = [_KEYS.get(keys[name].to_value_type().name) if name in keys else None for name in view.join_keys]
    if source is None or not source.timestamp_field or None in types:
        logger.debug("the feature view %s has keys or a source that btcfs cannot read", view.name)
        return None
    event = source.timestamp_field if source.timestamp_field != TIME_KEY else "event_time"
    features = []
    for field in view.features:
        dtype = _DTYPES.get(field.dtype.to_value_type().name)
        try:
            if dtype is not None:
                features.append(Feature(field.name, dtype, description=field.description))
        except DefinitionError as exc:
            logger.debug("the feature %s of %s is left out: %s", field.name, view.name, exc)
    try:
        group = FeatureGroup(
            view.name, 1, features, [*view.join_keys, TIME_KEY], event_time=event, description=view.description
        )
    except DefinitionError as exc:
        logger.debug("the feature view %s cannot be read as a group: %s", view.name, exc)
        return None
    return Foreign(view, group, tuple(kind for kind in types if kind is not None))


def _instants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A time column as microseconds of UTC; Feast's Postgres and Spark stores give it without a zone."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return column.cast(pa.timestamp("us"), safe=False).cast(_INSTANT)
    if pa.types.is_string(kind):
        return pa.chunked_array([pa.array([to_micros(text) for text in column.to_pylist()]).cast(_INSTANT)])
    return column.cast(_INSTANT, safe=False)


def _wanted(group: FeatureGroup, rows: pa.Table, known: Any, asked: Asked) -> Any:
    """Which rows were asked for; both ends of what Feast pulls are in its range."""
    wanted = np.ones(rows.num_rows, dtype=bool)
    for name, value in asked.entity.items():
        wanted &= np.asarray(pc.equal(rows.column(name), value))
    events = np.asarray(rows.column(group.event_time).cast(pa.int64()))
    for low, high in ((asked.start, asked.end), asked.opens or (None, None)):
        wanted &= np.ones_like(wanted) if low is None else events >= low
        wanted &= np.ones_like(wanted) if high is None else events < high
    if asked.as_of is not None:
        wanted &= np.asarray(known.cast(pa.int64())) <= asked.as_of
    return pa.array(wanted)
