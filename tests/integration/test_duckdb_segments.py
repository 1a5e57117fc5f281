"""Which rows of one write of the embedded store share a segment, and that they are found wherever they went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs_duckdb import connect, mirror

GROUP = FeatureGroup("minutes", 1, [Feature("a"), Feature("b")], interval="1m")
VIEW = FeatureView("minutes", 1, [GROUP.ref], ["b", "a"])
START = pd.Timestamp("2024-02-28", tz="UTC")
BATCH = 600


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store that gathers few rows and holds few files open: with its own sizes, each test would need millions of rows."""
    monkeypatch.setattr(mirror, "BATCH", BATCH)
    monkeypatch.setattr(mirror, "OPEN", 2)
    with connect(tmp_path) as store:
        store.apply(GROUP)
        store.apply(VIEW)
    return tmp_path


def candles(numbers: np.ndarray | range, symbol: str = "BTC-USD", seed: int = 0) -> pd.DataFrame:
    a, b = np.random.default_rng(seed).normal(size=(2, len(numbers)))
    times = START + pd.to_timedelta(np.asarray(numbers), "min")
    return pd.DataFrame({"symbol": symbol, "timestamp": times, "a": a, "b": b})


def segments(folder: Path) -> int:
    return len(list(folder.glob("*.rows")))


def assert_found(folder: Path, expected: pd.DataFrame) -> None:
    """Rows by their keys, alone and together, and the newest, before and after the online file is made anew."""
    some = expected.sample(frac=0.2, random_state=1)
    wanted = some[["b", "a"]].to_numpy().tobytes()
    keys = some[["symbol", "timestamp"]].to_dict("records")
    for again in (False, True):
        with connect(folder) as store:
            if again:
                store.rebuild_online()
            together = store.get_online_features(VIEW, keys)
            alone = [store.get_online_features(VIEW, [key])[0] for key in keys]
            newest = expected.sort_values("timestamp").groupby("symbol").last()
            for symbol, row in newest.iterrows():
                [vector] = store.get_online_features(VIEW, [{"symbol": symbol}])
                assert vector.values.tolist() == [row["b"], row["a"]]
        assert np.array([vector.values for vector in together]).tobytes() == wanted
        assert np.array([vector.values for vector in alone]).tobytes() == wanted


def test_a_large_commit_is_one_segment(folder: Path) -> None:
    """What comes in order goes to the segment of what came before, the few rows at the end too."""
    frame = candles(range(4 * BATCH + 7))
    with connect(folder) as store:
        store.write(GROUP, frame)
    assert segments(folder) == 1
    assert_found(folder, frame)


@pytest.mark.parametrize("seed", range(6))
def test_any_stream_of_frames_is_found(folder: Path, seed: int) -> None:
    """Frames of several markets in any order, of any size and with candles missing, over rows that are there already."""
    random = np.random.default_rng(seed)
    markets = [f"COIN-{n}" for n in range(4)]
    there = candles(np.arange(900, 1_200), markets[0], seed)
    frames = []
    for market in markets:
        numbers = np.flatnonzero(random.random(2_500) < random.choice([0.7, 1.0]))
        cuts = np.sort(random.choice(np.arange(1, len(numbers)), random.integers(1, 9), replace=False))
        frames += [candles(part, market, seed + 1) for part in np.split(numbers, cuts)]
    if seed % 2:
        random.shuffle(frames)
    with connect(folder) as store:
        store.write(GROUP, there)
        store.write(GROUP, iter(frames))
        stored = store.read(GROUP)
    expected = pd.concat([there, *frames]).drop_duplicates(["symbol", "timestamp"], keep="last")
    assert len(stored) == len(expected)
    assert_found(folder, expected)


def test_another_segment_in_between_is_not_run_over(folder: Path) -> None:
    """Rows on both sides of a segment that was there before are two segments, and those in it are its own."""
    before, within, after = candles(range(BATCH)), candles(range(1_000, 1_700)), candles(range(2_000, 2_000 + BATCH))
    with connect(folder) as store:
        store.write(GROUP, within)
        store.write(GROUP, iter([before, after]))
    assert segments(folder) == 3
    assert_found(folder, pd.concat([before, within, after]))


def test_a_stream_that_breaks_leaves_no_file(folder: Path) -> None:
    """Of a write that is given up nothing stays, and the next one is whole."""

    def broken() -> Iterator[pd.DataFrame]:
        yield candles(range(2 * BATCH))
        raise RuntimeError("the source is gone")

    with connect(folder) as store:
        with pytest.raises(RuntimeError, match="the source is gone"):
            store.write(GROUP, broken())
        assert segments(folder) == 0
        store.write(GROUP, candles(range(3 * BATCH)))
    assert segments(folder) == 1
    assert_found(folder, candles(range(3 * BATCH)))
