"""The Feast backend beside Feast itself, on the same local repository: training frames and online vectors."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.frames import from_micros_array

sys.path.insert(0, str(Path(__file__).parents[1]))
import servers
from repositories import in_postgres, write_config

MINUTE = 60_000_000
FIRST = 1_700_000_000_000_000 // MINUTE * MINUTE
FEATURES = 47
ENTITIES = 100  # with one, Feast needs hours or more memory than there is
PAIRED = 250  # labels that Feast joins; 10,000 of them need more than 10 GB
ROUNDS = 7
CALLS = 200


def main(scale: float = 1.0) -> list[tuple[str, float, str]]:
    """Name, ratio and bar; a ratio above one means that btcfs is that much faster, of vectors the reverse."""
    with tempfile.TemporaryDirectory() as folder, servers.redis() as redis, servers.postgres() as postgres:
        root = write_config(Path(folder) / "repo", offline={"type": "duckdb"})
        rows = _measured(root, scale)
        online = {
            "SQLite": {"type": "sqlite", "path": "data/online.db"},
            "Redis": {"type": "redis", "connection_string": f"127.0.0.1:{redis}"},
            "Postgres": in_postgres(postgres),
        }
        return rows + [_served(Path(folder) / name, name, config) for name, config in online.items()]


def _measured(root: Path, scale: float) -> list[tuple[str, float, str]]:
    import feast

    from btcfs_feast import connect

    group, view, frame = _market(scale)
    with connect(root) as store:
        store.apply(group)
        store.write(group, frame)
        store.apply(view)
        client = feast.FeatureStore(repo_path=str(root))
        rows = [_training(store, client, view, frame, labels, scale) for labels in (PAIRED, 1_000_000)]
        rows.append(_training_unaided(store, client, view, frame, scale))
    with connect(root, scan=False) as store:
        return [*rows, _pushed(store, client, view, frame)]


def _served(root: Path, name: str, online: dict[str, Any]) -> tuple[str, float, str]:
    """The time of one vector from that online store, over Feast's own; both with a table of each entity's newest rows."""
    import feast

    from btcfs_feast import connect

    group, view, frame = _market(0.0)
    with connect(write_config(root, online=online)) as store:
        store.apply(group)
        store.write(group, frame)
        store.apply(view)
        client = feast.FeatureStore(repo_path=str(root))
        newest = frame.groupby("symbol", as_index=False).tail(1)
        client.write_to_online_store(f"{group.name}__v1", newest.assign(btcfs_created=newest["event_time"]))
        return _vectors(store, client, view, f"{name}: one vector of {FEATURES} features")


def _market(scale: float) -> tuple[FeatureGroup, FeatureView, pd.DataFrame]:
    names = [f"f_{n}" for n in range(FEATURES)]
    group = FeatureGroup("minutes", 1, [Feature(name) for name in names], interval="1m")
    count = max(50, int(10_000 * scale))
    draw = np.random.default_rng(1)
    opens = FIRST + MINUTE * np.tile(np.arange(count), ENTITIES)
    frame = pd.DataFrame(draw.normal(size=(count * ENTITIES, FEATURES)), columns=names)
    frame.insert(0, "symbol", np.repeat([f"COIN-{n:03d}" for n in range(ENTITIES)], count))
    frame.insert(1, "timestamp", from_micros_array(opens))
    frame.insert(2, "event_time", from_micros_array(opens + MINUTE))
    return group, FeatureView("model", 1, [group.ref], names), frame


def _labels(frame: pd.DataFrame, labels: int) -> pd.DataFrame:
    """Instants between the candles' closes."""
    chosen = frame[["symbol", "event_time"]].sample(labels, random_state=2)
    return chosen.assign(event_time=chosen["event_time"] + pd.Timedelta(seconds=20)).reset_index(drop=True)


def _theirs(client: Any, view: FeatureView, spine: pd.DataFrame) -> pd.DataFrame:
    references = [f"minutes__v1:{name}" for name in view.features]
    renamed = spine.rename(columns={"event_time": "event_timestamp"})
    return client.get_historical_features(renamed, references).to_df()


def _training(
    store: Any, client: Any, view: FeatureView, frame: pd.DataFrame, labels: int, scale: float
) -> tuple[str, float, str]:
    """The time of Feast over ours. Feast joins each label with each row of its coin, and gets no more than memory holds."""
    spine = _labels(frame, labels if labels == PAIRED else int(labels * scale))
    part = spine.iloc[:PAIRED]
    theirs, other = _timed(lambda: _theirs(client, view, part), 1)
    ours, mine = _timed(lambda: store.get_historical_features(view, spine), 3)
    _same(mine.iloc[: len(part)], other, view)
    given = "" if len(part) == len(spine) else f" (Feast: the first {len(part)})"
    # More labels than Feast's share of them tell no ratio of equal work.
    bar = "5" if len(part) == len(spine) else "reported"
    return f"training frame, {len(spine):,} labels x {len(frame):,} rows{given}", theirs / ours, bar


def _pushed(store: Any, client: Any, view: FeatureView, frame: pd.DataFrame) -> tuple[str, float, str]:
    """The time of ours over Feast's where Feast has to join, since no table may be pulled whole."""
    spine = _labels(frame, PAIRED)
    times = []
    for _ in range(3):
        ours, mine = _timed(lambda: store.get_historical_features(view, spine), 1)
        theirs, other = _timed(lambda: _theirs(client, view, spine), 1)
        times.append((ours, theirs))
    _same(mine, other, view)
    ratio = median(one for one, _ in times) / median(other for _, other in times)
    return f"training frame with scan=False, {PAIRED} labels x {len(frame):,} rows", ratio, "at most 1.3"


def _training_unaided(store: Any, client: Any, view: FeatureView, frame: pd.DataFrame, scale: float) -> Any:
    """The time of a plain read of the files, as the floor below which no join can be."""
    import pyarrow.dataset as ds

    folder = next(iter((Path(store._repository.root) / "data" / "btcfs" / "parts").iterdir()))
    names = ["symbol", "event_time", *view.features]
    files = [str(path) for path in folder.glob("*.parquet")]
    floor, _ = _timed(lambda: ds.dataset(files).to_table(columns=names), 3)
    spine = _labels(frame, max(50, int(1_000_000 * scale)))
    ours, _ = _timed(lambda: store.get_historical_features(view, spine), 3)
    return f"training frame, {len(spine):,} labels: time over that of reading the files", ours / floor, "reported"


def _same(mine: pd.DataFrame, other: pd.DataFrame, view: FeatureView) -> None:
    """Feast's rows come in any order; brought into ours they are equal bit for bit."""
    keyed = other.set_index(["symbol", "event_timestamp"])[list(view.features)]
    asked = pd.MultiIndex.from_frame(mine[["symbol", "event_time"]])
    found = keyed.reindex(asked).to_numpy(dtype="float64")
    assert np.array_equal(found, mine[list(view.features)].to_numpy(), equal_nan=True)


def _vectors(store: Any, client: Any, view: FeatureView, name: str) -> tuple[str, float, str]:
    key = {"symbol": "COIN-007"}
    references = [f"minutes__v1:{feature}" for feature in view.features]

    def ours() -> Any:
        return store.get_online_features(view, [key])[0].values

    def theirs() -> Any:
        return client.get_online_features(references, [key]).to_dict()

    answer = theirs()
    assert np.array_equal(ours(), [answer[feature][0] for feature in view.features])
    pairs = [(_per_call(ours), _per_call(theirs)) for _ in range(ROUNDS)]
    return name, median(one for one, _ in pairs) / median(other for _, other in pairs), "at most 1.3"


def _per_call(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - begun) / CALLS


def _timed(call: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """The median time of some calls, and the last answer."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        answer = call()
        times.append(time.perf_counter() - begun)
    return median(times), answer


if __name__ == "__main__":
    for row in main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0):
        print("{:75s} {:10.3g}   bar {}".format(*row))
