"""Partitions computed in this process or spread over an engine's workers; their features in order, a few at a time."""

from __future__ import annotations

import re
import traceback
from collections.abc import Generator, Iterable

import attrs

from btcfs import errors
from btcfs.engines import Engine, Pending, in_order
from btcfs.errors import BtcfsError, ConfigError, DefinitionError, SchemaError, StoreUnavailable
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.compute import STREAM_ROWS, FeatureBlock
from btcfs.pipeline.likeness import Recipe, here, recipe, same_plan
from btcfs.pipeline.partitions import Partition, compute_partition
from btcfs.pipeline.plan import Plan
from btcfs.plugins import Plugins

LEAST_ROWS = 4_096  # below that, a task costs more than its work

_NAMES_AN_ERROR = re.compile(r"(Error|Exception): ")
_PASSED_ON = (ConfigError, DefinitionError, SchemaError)  # what computing raises on purpose


@attrs.frozen(eq=False)
class Task:
    """What a worker is sent."""

    recipe: Recipe
    partition: Partition


@attrs.frozen
class Failed:
    """What a worker answers if it cannot: the error's kind and message, and the trace for whoever debugs it.

    It is an answer and no exception, so that no engine tries again what will fail again, nor wraps it in its own words.
    """

    kind: str
    message: str
    worker: str
    trace: str


def partition_rows(engine: Engine | None, rows: int) -> int:
    """How many rows a partition should have at most, so that no worker is idle and no result is too large."""
    if engine is None:
        return STREAM_ROWS
    return min(STREAM_ROWS, max(LEAST_ROWS, -(-rows // engine.in_flight)))


def run(task: Task) -> FeatureBlock | Failed:
    """The features of a partition, on a worker."""
    try:
        plan = same_plan(task.recipe)
        sent = task.partition
        # Made anew: what comes by pickle is not checked and can be written to.
        candles = CandleArrays(*sent.candles.columns, step=sent.candles.step)
        return compute_partition(plan, attrs.evolve(sent, candles=candles))
    except Exception as exc:  # noqa: BLE001 - an indicator may raise anything, and the driver is to say which it was
        return Failed(type(exc).__name__, str(exc), here(), traceback.format_exc())


def computed(
    plan: Plan, plugins: Plugins, partitions: Iterable[Partition], engine: Engine | None
) -> Generator[FeatureBlock, None, None]:
    """The features of each partition, in order; without an engine computed here, one after the other.

    Errors name the symbol, the range and the cause: ConfigError for a worker whose plugins are not the driver's,
    DefinitionError for an indicator that fails, StoreUnavailable for an engine that loses a task.
    """
    if engine is None:
        yield from (compute_partition(plan, partition) for partition in partitions)
        return
    made = recipe(plan, plugins)
    for task, pending in in_order(engine, run, (Task(made, partition) for partition in partitions)):
        yield _taken(engine, task.partition, pending)


def _taken(engine: Engine, partition: Partition, pending: Pending[FeatureBlock | Failed]) -> FeatureBlock:
    try:
        answer = pending.result()
    except Exception as exc:  # every engine has errors of its own
        raise StoreUnavailable(
            f"engine {engine.name!r} lost the features of {partition}: {type(exc).__name__}: {_short(exc)}; nothing of "
            f"{partition.symbol} was written. See the engine's log, then run the same command again"
        ) from exc
    if isinstance(answer, Failed):
        raise _error(engine, partition, answer)
    return answer


def _error(engine: Engine, partition: Partition, failed: Failed) -> BtcfsError:
    kind = getattr(errors, failed.kind, None)
    if kind in _PASSED_ON:
        error, cause = kind, failed.message
    else:
        error, cause = DefinitionError, f"{failed.kind}: {failed.message}"
    text = (
        f"the features of {partition} could not be computed by {failed.worker} of engine {engine.name!r}: {cause}. "
        f"Nothing of {partition.symbol} was written"
    )
    raised: BtcfsError = error(text)
    raised.__cause__ = RuntimeError(failed.trace)
    return raised


def _short(exc: Exception) -> str:
    """The line of a message, which may be pages of traces, that says what happened."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()] or ["no message"]
    named = [line for line in lines if _NAMES_AN_ERROR.search(line) and not line.endswith("(most recent call last):")]
    return (named or lines)[0][:500]
