"""Rows that the embedded store's reader keeps in memory between commits are those of the disk."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.errors import NotFound, StoreUnavailable
from btcfs.store import FeatureStore
from btcfs_duckdb import connect
from btcfs_duckdb.mirror import BULK
from btcfs_duckdb.tables import MOST_KEPT

REGULAR = FeatureGroup("regular", 1, [Feature("a"), Feature("b")], interval="1h")
IRREGULAR = FeatureGroup("irregular", 1, [Feature("a"), Feature("b")])
START = pd.Timestamp("2021-03-04", tz="UTC")
OFTEN = 8  # reads between two commits, after which rows are kept in memory
Row = tuple[pd.Timestamp, float, float]


def view_of(group: FeatureGroup) -> FeatureView:
    return FeatureView(f"of_{group.name}", 1, [group.ref], ["b", "a"])


def hour(number: int) -> datetime:
    return (START + pd.Timedelta(hours=number)).to_pydatetime().astimezone(timezone.utc)


def frame(group: FeatureGroup, symbol: str, numbers: Any, random: np.random.Generator) -> pd.DataFrame:
    times = START + pd.to_timedelta(np.asarray(numbers), "h")
    values = random.normal(size=(2, len(times)))
    known = times + pd.to_timedelta(random.integers(1, 90, len(times)) if group.interval is None else 1, "h")
    return pd.DataFrame({"symbol": symbol, "timestamp": times, "event_time": known, "a": values[0], "b": values[1]})


def assert_reads(store: FeatureStore, group: FeatureGroup, expected: dict[tuple[str, int], Row]) -> None:
    """Every key alone, all together, the newest of each symbol, and one that is missing, again and again."""
    view = view_of(group)
    keys = [{"symbol": symbol, "timestamp": hour(number)} for symbol, number in expected]
    wanted = [([b, a], known) for known, a, b in expected.values()]
    for _ in range(OFTEN):
        assert [(v.values.tolist(), v.event_time) for v in store.get_online_features(view, keys)] == wanted
        for key, want in list(zip(keys, wanted, strict=True))[:: max(1, len(keys) // 9)]:
            [one] = store.get_online_features(view, [key])
            assert (one.values.tolist(), one.event_time, one.key) == (*want, key)
        for symbol in {symbol for symbol, _ in expected}:
            own = {number: row for (name, number), row in expected.items() if name == symbol}
            newest = max(own, key=lambda number: (own[number][0], number))
            [one] = store.get_online_features(view, [{"symbol": symbol}])
            assert (one.values.tolist(), one.key["timestamp"]) == ([own[newest][2], own[newest][1]], hour(newest))
        with pytest.raises(NotFound, match="no row"):
            store.get_online_features(view, [{"symbol": "BTC-USD", "timestamp": hour(99_999)}])


@pytest.mark.parametrize("group", [REGULAR, IRREGULAR], ids=["with an interval", "without"])
@pytest.mark.parametrize("seed", range(3))
def test_reads_are_what_was_written_last(tmp_path: Path, group: FeatureGroup, seed: int) -> None:
    """After each commit of another store, of few rows or many, new or corrected, single reads and batches are a dict's."""
    random = np.random.default_rng(seed)
    expected: dict[tuple[str, int], Row] = {}
    with connect(tmp_path) as writer, connect(tmp_path) as reader:
        writer.apply(group)
        writer.apply(view_of(group))
        for count in (3, BULK + 5, 1, 40, MOST_KEPT, 2, 2 * BULK, 7):
            for symbol in ("BTC-USD", "ETH-USD")[: 1 + int(random.integers(2))]:
                numbers = random.choice(4_000, size=count, replace=False)
                if count > BULK:
                    numbers = np.arange(count) * 2 + int(random.integers(4_000))
                rows = frame(group, symbol, numbers, random)
                writer.write(group, rows)
                known = [time.to_pydatetime() for time in rows["event_time"]]
                given = zip(known, rows["a"].tolist(), rows["b"].tolist(), strict=True)
                expected.update({(symbol, int(n)): row for n, row in zip(numbers, given, strict=True)})
            assert_reads(reader, group, expected)


def test_what_is_damaged_on_the_disk_is_not_kept(tmp_path: Path) -> None:
    """A damaged row is refused however often it is asked for, and the others are still read."""
    view = view_of(REGULAR)
    with connect(tmp_path) as writer:
        writer.apply(REGULAR)
        writer.apply(view)
        writer.write(REGULAR, frame(REGULAR, "BTC-USD", range(5), np.random.default_rng(0)))
    with sqlite3.connect(next(tmp_path.glob("online-*.sqlite"))) as file:
        (table,) = file.execute("SELECT name FROM sqlite_master WHERE name LIKE 'rows_%'").fetchone()
        file.execute(f"UPDATE {table} SET payload = zeroblob(length(payload)) WHERE ts = (SELECT min(ts) FROM {table})")
    with connect(tmp_path) as reader:
        for _ in range(OFTEN):
            with pytest.raises(StoreUnavailable, match="rebuild-online"):
                reader.get_online_features(view, [{"symbol": "BTC-USD", "timestamp": hour(0)}])
            assert len(reader.get_online_features(view, [{"symbol": "BTC-USD", "timestamp": hour(1)}])) == 1


def test_many_entities_are_not_all_kept(tmp_path: Path) -> None:
    """However many markets are asked for, each answers with its own rows."""
    view, symbols = view_of(REGULAR), [f"M{number}-USD" for number in range(200)]
    with connect(tmp_path) as store:
        store.apply(REGULAR)
        store.apply(view)
        random = np.random.default_rng(1)
        rows = pd.concat([frame(REGULAR, symbol, [number], random) for number, symbol in enumerate(symbols)])
        store.write(REGULAR, rows)
        for _ in range(OFTEN):
            found = [store.get_online_features(view, [{"symbol": symbol}])[0] for symbol in symbols]
            assert [vector.values.tolist() for vector in found] == rows[["b", "a"]].to_numpy().tolist()
