"""The last n vectors of a view as one matrix, for models of sequences."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from btcfs import catalogue
from btcfs.definitions import TIME_KEY, FeatureGroup, FeatureView
from btcfs.errors import InsufficientHistory, NotFound, SchemaError
from btcfs.store import FeatureStore, FeatureVector

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

MOST_ROWS = 10_000


@attrs.frozen(eq=False)
class FeatureWindow:
    """Consecutive vectors, the oldest first: ``values`` is (n, features), ``timestamps`` the candles' open times.

    ``event_times`` says when each row became known; ``source`` which backend answered.
    """

    values: Floats
    timestamps: tuple[datetime, ...]
    event_times: tuple[datetime, ...]
    features: tuple[str, ...]
    source: str
    fingerprint: str


def get_feature_window(
    store: FeatureStore, view: FeatureView, symbol: str, n: int, *, end: datetime | None = None
) -> FeatureWindow:
    """The vectors of a symbol's ``n`` newest stored candles, or of the ``n`` up to the one that opens at ``end``.

    Rows are the same bits that ``get_online_features`` gives for each candle. Candles that are not
    stored are left out, so a window spans a gap as the indicators do. SchemaError for ``n`` outside
    1 to 10,000; NotFound if there is no such candle; InsufficientHistory if fewer are stored.
    """
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST_ROWS:
        raise SchemaError(f"a window of {n!r} rows: expected a whole number from 1 to {MOST_ROWS:,}")
    leading = catalogue.resolve(store.definitions(), view).leading
    step = leading.step
    if step is None:
        raise SchemaError(
            f"view {view.title} is looked up by {leading.title}, which has no interval to make windows of"
        )
    newest_key = {"symbol": symbol} if end is None else {"symbol": symbol, TIME_KEY: end}
    [newest] = store.get_online_features(view, [newest_key])
    last: datetime = newest.key[TIME_KEY]
    if n == 1:
        return _window(view, [newest])
    try:
        vectors = store.get_online_features(view, _keys(symbol, [last - i * step for i in range(n - 1, 0, -1)]))
    except NotFound:
        times = _stored_times(store, leading, symbol, last, n)
        vectors = store.get_online_features(view, _keys(symbol, times[:-1]))
    return _window(view, [*vectors, newest])


def _stored_times(store: FeatureStore, group: FeatureGroup, symbol: str, last: datetime, n: int) -> list[datetime]:
    """The open times of the last ``n`` stored rows up to that one, looked for in ever longer spans."""
    assert group.step is not None
    span, after = n * 2, last + group.step + timedelta(microseconds=1)
    first = store.summary(group, {"symbol": symbol}).start
    while True:
        start = after - span * group.step
        rows = store.read(group, start, after, entity={"symbol": symbol}, columns=[TIME_KEY])
        if len(rows) >= n:
            return [time.to_pydatetime() for time in rows[TIME_KEY].iloc[-n:]]
        if first is None or start <= first:
            raise InsufficientHistory(n, len(rows), f"a window of {n} rows of {symbol} in {group.title}")
        span *= 4


def _keys(symbol: str, times: list[datetime]) -> list[dict[str, Any]]:
    return [{"symbol": symbol, TIME_KEY: time} for time in times]


def _window(view: FeatureView, vectors: list[FeatureVector]) -> FeatureWindow:
    return FeatureWindow(
        np.array([vector.values for vector in vectors]),
        tuple(vector.key[TIME_KEY] for vector in vectors),
        tuple(vector.event_time for vector in vectors),
        view.features,
        vectors[-1].source,
        view.fingerprint,
    )
