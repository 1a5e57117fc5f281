"""Feature groups of Hopsworks: made, found, filled and read, as handles that only this package looks into."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from btcfs.errors import BtcfsError, NotFound, StoreUnavailable
from btcfs_hopsworks.gateway.session import Session

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0
_CHECKS_OFF = {"schema_validation": False, "run_validation": False, "fetch_expectation_suite": False}
_RUNNING = "UNDEFINED"
_SUCCEEDED = ("SUCCEEDED", "FINISHED", "SUCCESS")


@attrs.frozen
class Column:
    """A column: its Hive type, and how it is kept online; ``offline_only`` keeps it out of the online table."""

    name: str
    type: str
    online_type: str | None = None
    offline_only: bool = False
    description: str = ""


@attrs.frozen
class Condition:
    """``column op value`` with op one of == >= > <= <, evaluated by the cluster."""

    column: str
    op: str
    value: int | str


def find(session: Session, name: str, version: int) -> Any | None:
    """The handle of a group, None if there is none."""
    return session.call(
        f"feature group {name} v{version}", lambda: _first(session.store.get_feature_group(name, version)), quiet=True
    )


def listed(session: Session) -> list[Any]:
    """A handle of every group of the project's feature store."""
    return list(session.call("list of feature groups", session.store.get_feature_groups, quiet=True))


def create(
    session: Session,
    name: str,
    version: int,
    columns: Sequence[Column],
    *,
    primary_key: str,
    event_time: str | None,
    description: str,
    statistics: bool,
) -> Any:
    """Make a group that rows reach through Kafka, with an online table; its handle."""
    from hsfs.feature import Feature

    def make() -> Any:
        group = session.store.create_feature_group(
            name=name,
            version=version,
            description=description[:256],
            online_enabled=True,
            # The client's default writes to HopsFS directly, which cannot be reached from outside a cluster.
            time_travel_format="HUDI",
            stream=True,
            primary_key=[primary_key],
            event_time=event_time,
            hudi_precombine_key=None,
            features=[
                Feature(
                    column.name,
                    type=column.type,
                    online_type=column.online_type,
                    offline_only=column.offline_only,
                    description=column.description[:256],
                )
                for column in columns
            ],
            statistics_config=statistics,
        )
        group.save()
        return group

    return session.call(f"creating feature group {name} v{version}", make, quiet=True)


def describe(session: Session, group: Any, text: str) -> None:
    """Give a group another description."""
    session.call(f"describing {group.name}", lambda: group.update_description(text[:256]), quiet=True)


def delete(session: Session, name: str, version: int) -> None:
    """Remove a group and its rows; nothing if it is not there."""
    group = find(session, name, version)
    if group is not None:
        session.call(f"deleting feature group {name} v{version}", group.delete, quiet=True)


def columns_of(group: Any) -> list[tuple[str, str]]:
    """Name and Hive type of each column."""
    return [(feature.name, feature.type) for feature in group.columns]


def produce_offline(session: Session, group: Any, frame: pd.DataFrame, seconds: float) -> None:
    """Send rows to Kafka for the offline table alone; they are there when a materialisation has run."""

    def send() -> None:
        options = {"start_offline_materialization": False, "kafka_producer_config": _producer(seconds)}
        # As parts, the client does not first look up offsets that the job does not need.
        with group.multi_part_insert() as parts:
            parts.insert(frame, storage="offline", write_options=options, validation_options=dict(_CHECKS_OFF))

    session.call(f"writing {len(frame)} rows of {group.name} v{group.version}", send, seconds, quiet=True)
    session.record(sent=int(frame.memory_usage(deep=False).sum()))


def upsert_online(session: Session, group: Any, frame: pd.DataFrame, seconds: float) -> None:
    """Send rows to the online table alone and wait until they are there. StoreUnavailable if one is not."""
    what = f"writing {len(frame)} online rows of {group.name} v{group.version}"
    options = {
        "start_offline_materialization": False,
        "wait_for_online_ingestion": True,
        "online_ingestion_options": {"timeout": seconds, "period": _FIRST_PAUSE, "mark_online_rows": False},
        "kafka_producer_config": _producer(seconds),
    }

    def send() -> dict[str, int]:
        group.insert(frame, storage="online", write_options=options, validation_options=dict(_CHECKS_OFF))
        latest = group.get_latest_online_ingestion()
        counted: dict[str, int] = {}
        for result in [] if latest is None else latest.results:
            counted[result.status] = counted.get(result.status, 0) + result.rows
        return counted

    counted = session.call(what, send, seconds + 1.0, quiet=True)
    session.record(sent=int(frame.memory_usage(deep=False).sum()))
    if counted.get("UPSERTED", 0) < len(frame):
        shown = ", ".join(f"{rows} {status}" for status, rows in sorted(counted.items())) or "none taken"
        raise StoreUnavailable(f"{what}: the online store took not all of them within {seconds:.3g} s ({shown})")


def start_materialisation(session: Session, group: Any, seconds: float) -> Any:
    """Run the job that moves rows from Kafka to the offline table; what ``wait_for_materialisation`` takes."""
    until = time.monotonic() + seconds
    what = f"materialisation of {group.name} v{group.version}"
    job = session.call(f"job of the {what}", lambda: group.materialization_job, quiet=True)
    pause = _FIRST_PAUSE
    # A job that runs already may have read past the place of these rows, so another run follows it.
    while session.call(f"starting the {what}", lambda: _started(job), quiet=True) is None:
        pause = _paused(pause, until, what)
    return job


def wait_for_materialisation(session: Session, group: Any, job: Any, seconds: float) -> None:
    """Wait for the success of a started job. StoreUnavailable if it fails or does not end in time."""
    until = time.monotonic() + seconds
    what = f"materialisation of {group.name} v{group.version}"
    pause = _FIRST_PAUSE
    while True:
        state = _final_state(session, job, what, until)
        if state in _SUCCEEDED:
            return
        if state != _RUNNING:
            raise StoreUnavailable(f"the {what} ended as {state}; its log is in Hopsworks under Jobs, {job.name}")
        pause = _paused(pause, until, what)


def rows(
    session: Session,
    group: Any,
    columns: Sequence[str],
    conditions: Sequence[Condition] = (),
    *,
    seconds: float | None = None,
) -> pa.Table:
    """Rows of the offline table, in no order, through the Query Service."""
    import pyarrow as pa

    limit = session.address.timeout if seconds is None else seconds

    def read() -> pa.Table:
        query = group.select(list(columns))
        for condition in conditions:
            query = query.filter(_filter(group, condition))
        # read() would show an animation for half a second.
        with query.read_batches(read_options={"arrow_flight_config": {"timeout": limit}}) as batches:
            parts = list(batches)
        if not parts:
            return None
        return pa.Table.from_batches(parts)

    try:
        found = session.call(f"reading {group.name} v{group.version}", read, limit, quiet=True)
    except StoreUnavailable:
        _forget_query_service()
        raise
    session.record(received=0 if found is None else found.nbytes)
    return found


def online_query(group: Any, columns: Sequence[str]) -> Any:
    """A query of the whole online table; kept, it is prepared by the cluster only once."""
    return group.select(list(columns))


def online_rows(session: Session, query: Any) -> list[dict[str, Any]]:
    """Every row of an online query."""

    def read() -> list[dict[str, Any]]:
        frame = query.read(online=True)
        return [dict(zip(frame.columns, record, strict=True)) for record in frame.itertuples(index=False, name=None)]

    return session.call("reading the catalogue online", read)


def url(session: Session, group: Any) -> str:
    """The page of a group."""
    return f"{session.url()}/fs/{session.store.id}/fg/{group.id}"


def _forget_query_service() -> None:
    """Let the next read connect anew; the client gives the Query Service up for the session if its first look fails."""
    from hsfs.core import arrow_flight_client

    arrow_flight_client._close()


def _first(found: Any) -> Any | None:
    return found[0] if isinstance(found, list) and found else found or None


def _producer(seconds: float) -> dict[str, Any]:
    return {"message.timeout.ms": max(1000, int(seconds * 1000)), "linger.ms": 2}


def _started(job: Any) -> Any:
    return job.run(args=(job.config or {}).get("defaultArgs", ""), await_termination=False)


def _final_state(session: Session, job: Any, what: str, until: float) -> str:
    """The job's final state; a look that fails is taken again while there is time."""
    while True:
        try:
            return str(session.call(f"state of the {what}", job.get_final_state, quiet=True))
        except (StoreUnavailable, NotFound) as exc:
            _refuse_late(until, what, exc)
            time.sleep(min(0.5, max(until - time.monotonic(), 0.0)))


def _refuse_late(until: float, what: str, exc: BtcfsError) -> None:
    if time.monotonic() + 0.5 >= until:
        raise exc


def _paused(pause: float, until: float, what: str) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise StoreUnavailable(
            f"the {what} did not end in time; look at it in Hopsworks under Jobs, or raise write_timeout"
        )
    time.sleep(min(pause, left))
    return min(pause * 1.5, _LONGEST_PAUSE)


def _filter(group: Any, condition: Condition) -> Any:
    feature = group[condition.column]
    comparisons = {
        "==": feature.__eq__,
        ">=": feature.__ge__,
        ">": feature.__gt__,
        "<=": feature.__le__,
        "<": feature.__lt__,
    }
    return comparisons[condition.op](condition.value)
