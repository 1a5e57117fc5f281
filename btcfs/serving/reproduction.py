"""Doing a logged prediction again: its vector from the store as it was, its output from the model that made it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pandas as pd

from btcfs import catalogue
from btcfs.definitions import FeatureGroup, FeatureView
from btcfs.errors import BtcfsError, NotFound
from btcfs.frames import to_records
from btcfs.instants import from_micros
from btcfs.online.computed import plan_of
from btcfs.pipeline.compute import compute_new
from btcfs.pipeline.history import CandleHistory
from btcfs.pipeline.plan import Plan
from btcfs.pipeline.standard import candle_group
from btcfs.plugins import Plugins
from btcfs.serving.prediction_rows import PREDICTIONS, logged_candle, vector_of
from btcfs.store import Capability, Commit, FeatureStore

if TYPE_CHECKING:
    from btcfs.serving.active import ServableBundle

    Floats = np.ndarray[Any, np.dtype[np.float64]]

COMMIT_TAKES = timedelta(minutes=1)  # at most, from when a commit has its time until its rows can be read
_MICROSECOND = timedelta(microseconds=1)


@attrs.frozen
class Replay:
    """A logged prediction and the same one made again; ``*_equal`` is bit for bit.

    ``output_equal`` compares the model's numbers from the logged vector; ``vector_equal`` that vector
    with the one found anew, None if it could not be: ``vector_note`` says why.
    """

    prediction_id: str
    made_at: str
    symbol: str
    candle: str
    model_version: str
    feature_source: str
    logged: dict[str, float]
    replayed: dict[str, float]
    output_equal: bool
    vector_equal: bool | None
    vector_note: str
    vector: dict[str, float]

    @property
    def equal(self) -> bool:
        """Whether everything that could be compared is the same."""
        return self.output_equal and self.vector_equal is not False

    def to_dict(self) -> dict[str, Any]:
        return {**attrs.asdict(self), "equal": self.equal}


def replay(
    store: FeatureStore,
    load: Callable[[str], ServableBundle],
    prediction_id: str,
    plugins: Plugins,
    *,
    candles: str | None = None,
) -> Replay:
    """Make a logged prediction again. ``load`` gives the bundle of a version, ``candles`` names the candles' group.

    The vector is found as the request found it: from the store as it was known then, or computed
    from the candles as they were known then and the one posted. A prediction made while a commit was
    under way rests on the store before or after it, and ``vector_note`` says which. NotFound if no
    such prediction is logged, or its model is gone.
    """
    row = _logged(store, prediction_id)
    bundle = load(row["model_version"])
    vector = vector_of(row["vector"])
    outputs = {
        "probability": float(bundle.classification.predict(vector)),
        "price_change_pct": float(bundle.regression.predict(vector)),
    }
    logged = {name: float(row[name]) for name in outputs}
    same, note = _compared(store, row, vector, plugins, candles)
    return Replay(
        prediction_id=prediction_id,
        made_at=from_micros(row["event_time"]).isoformat(),
        symbol=row["symbol"],
        candle=from_micros(row["candle_timestamp"]).isoformat(),
        model_version=row["model_version"],
        feature_source=row["feature_source"],
        logged=logged,
        replayed=outputs,
        output_equal=_bits(np.array(list(logged.values()))) == _bits(np.array(list(outputs.values()))),
        vector_equal=same,
        vector_note=note,
        vector=dict(zip(bundle.features, vector.tolist(), strict=True)),
    )


def _logged(store: FeatureStore, prediction_id: str) -> dict[str, Any]:
    catalogue.find_group(store.definitions(), PREDICTIONS.name, PREDICTIONS.version)
    rows = store.read(PREDICTIONS, entity={"prediction_id": prediction_id})
    if not len(rows):
        raise NotFound(
            f"no prediction {prediction_id!r} is logged; btcfs serve writes its log every two seconds, and once a day to a "
            f"store with a budget of calls, unless --log-seconds says otherwise"
        )
    return dict(zip(PREDICTIONS.columns, to_records(PREDICTIONS, rows)[0], strict=True))


def _compared(
    store: FeatureStore, row: dict[str, Any], vector: Floats, plugins: Plugins, candles: str | None
) -> tuple[bool | None, str]:
    try:
        view = _view(store, row["view_fingerprint"])
        resolved = catalogue.resolve(store.definitions(), view)
        if row["feature_source"] == "local":
            plan = plan_of(resolved.leading, plugins)
            raw = candle_group(plan.interval, candles)
            read = [raw]
            found = partial(_computed_again, store, row, view, plan, raw)
        else:
            read = [group for group, _, _ in resolved.parts]
            found = partial(_stored_again, store, row, view, resolved.leading)
        return _found_again(store, from_micros(row["event_time"]), read, vector, found)
    except BtcfsError as exc:
        return None, f"the vector could not be found anew: {exc}"


def _found_again(
    store: FeatureStore,
    made_at: datetime,
    read: list[FeatureGroup],
    vector: Floats,
    found: Callable[[datetime | None], Floats],
) -> tuple[bool, str]:
    """Whether the vector is ``found`` in the store as it was at the prediction, and in which words to say it."""
    if Capability.TIME_TRAVEL not in store.capabilities:
        again = found(None)
    else:
        again = found(made_at)
        if _bits(again) != _bits(vector):
            for commit, before in _under_way(store, made_at, read):
                at = commit.committed_at - _MICROSECOND if before else commit.committed_at
                if _bits(found(at)) == _bits(vector):
                    side = "before" if before else "after"
                    return True, f"found anew, equal bit for bit, {side} commit {commit.id}, which was under way"
    if _bits(again) == _bits(vector):
        return True, "found anew, equal bit for bit"
    different = int((again.view("int64") != vector.view("int64")).sum())
    return False, f"{different} of {len(vector)} values differ from those found anew"


def _under_way(store: FeatureStore, made_at: datetime, read: list[FeatureGroup]) -> list[tuple[Commit, bool]]:
    """The commits that a prediction may have seen the other side of, the nearest first, and whether that is the one before.

    A commit has its time before anybody can read its rows, and a prediction has its own before it reads.
    """
    commits = {commit.committed_at: commit for group in read for commit in store.commits(group)}
    near = sorted((abs(at - made_at), at) for at in commits if abs(at - made_at) <= COMMIT_TAKES)
    return [(commits[at], at <= made_at) for _, at in near]


def _stored_again(
    store: FeatureStore, row: dict[str, Any], view: FeatureView, leading: FeatureGroup, as_of: datetime | None
) -> Floats:
    assert leading.step is not None
    spine = pd.DataFrame(
        {
            "symbol": [row["symbol"]],
            leading.event_time: pd.to_datetime([from_micros(row["candle_timestamp"]) + leading.step], utc=True),
        }
    )
    found = store.get_historical_features(view, spine, as_of=as_of)
    return np.asarray(found[list(view.features)].to_numpy(dtype="float64")[0])


def _computed_again(
    store: FeatureStore, row: dict[str, Any], view: FeatureView, plan: Plan, raw: FeatureGroup, as_of: datetime | None
) -> Floats:
    candle = logged_candle(row["candle"])
    assert candle is not None
    time = from_micros(candle.timestamp)
    before = CandleHistory(store, raw, row["symbol"]).between(plan.first_needed(time), time, as_of=as_of)
    block = compute_new(plan, before, candle.arrays(plan.step))
    values = dict(zip(block.names, (float(column[0]) for column in block.columns), strict=True))
    return np.array([values[name] for name in view.features])


def _view(store: FeatureStore, fingerprint: str) -> FeatureView:
    for definition in store.definitions():
        if isinstance(definition, FeatureView) and definition.fingerprint == fingerprint:
            return definition
    raise NotFound(f"the view {fingerprint[:12]}… of that prediction is no longer stored")


def _bits(values: Floats) -> bytes:
    return values.astype("<f8").tobytes()
