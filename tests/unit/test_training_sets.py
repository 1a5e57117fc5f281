"""Training sets: what was known, once and for all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import btcfs
from btcfs.definitions import FeatureView, Label
from btcfs.errors import DefinitionError, InsufficientHistory, NotFound, SchemaError
from btcfs.instants import from_micros, parse_instant
from btcfs.training.dataset_files import read_training_set, write_training_set
from btcfs.training.datasets import ARRAYS, materialise, training_view
from stores import GROUP, filled, rows, view
from training_sets import DAY, START, market


@pytest.fixture(params=["memory", "duckdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    options = {"path": tmp_path / "store"} if request.param == "duckdb" else {}
    with btcfs.connect(request.param, defaults={"symbol": "BTC-USD"}, **options) as opened:
        X, prices = market(0.5, seed=1, rows=120, features=2)
        yield filled(opened, prices, X)


def test_rows_are_what_was_known_at_each_decision(store: Any) -> None:
    """Each row has its candle's features, the move after it as label, and the move before it as past."""
    X, prices = market(0.5, seed=1, rows=120, features=2)

    data = materialise(store, view())

    assert len(data) == 121 - 2
    for i in range(len(data)):
        row = i + 1
        assert data.X[i].tolist() == X[row].tolist()
        assert data.y[i] == float(prices[row + 1] > prices[row])
        assert data.past[i] == (prices[row] / prices[row - 1] - 1) * 100
        assert data.event_times[i] == START + DAY * (row + 1)
        assert data.known_at[i] == START + DAY * (row + 2)


def test_a_training_set_survives_fifty_restatements(store: Any, tmp_path: Path) -> None:
    """What was written is read back bit for bit, and its knowledge instant gives it again, whatever was rewritten since."""
    data = materialise(store, view())
    write_training_set(data, tmp_path)
    rng = np.random.default_rng(7)
    _, prices = market(0.5, seed=1, rows=120, features=2)

    for _ in range(50):
        row = int(rng.integers(0, 121))
        store.write(GROUP, rows(prices[row : row + 1] * rng.uniform(0.9, 1.1), rng.normal(size=(1, 2)), row))
    again = read_training_set(tmp_path, data.hash)

    assert again.hash == data.hash
    for name in ARRAYS:
        assert getattr(again, name).tobytes() == getattr(data, name).tobytes()
    assert again.provenance == json.loads(json.dumps(data.provenance))
    assert materialise(store, view()).hash != data.hash
    known = parse_instant(data.provenance["query"]["as_of"])
    assert materialise(store, view(), as_of=known).hash == data.hash


def test_incomplete_rows_are_dropped_and_counted(store: Any) -> None:
    """Warm-up, holes and unknown labels are left out, each counted under its reason."""
    X, prices = market(0.5, seed=1, rows=120, features=2)
    X[:10, 0] = np.nan
    X[50, 1] = np.nan
    store.write(GROUP, rows(prices, X))

    data = materialise(store, view(), label=Label(horizon=3))

    dropped = {"warm-up": 10, "missing feature": 1, "no earlier price": 0, "label not yet known": 3}
    assert data.provenance["dropped"] == dropped
    assert len(data) == 121 - 14
    assert not np.isnan(data.X).any()


def test_the_range_of_rows_is_half_open(store: Any) -> None:
    """The end bounds the decisions, not what their labels may know."""
    start, end = (from_micros(START + DAY * k) for k in (11, 21))

    data = materialise(store, view(), start=start, end=end)

    assert data.event_times.tolist() == [START + DAY * k for k in range(11, 21)]
    assert not np.isnan(data.y).any()


def test_written_beside_the_arrays_is_where_they_come_from(store: Any, tmp_path: Path) -> None:
    """Query, definition hashes, knowledge instant and split stand beside the arrays as JSON."""
    data = materialise(store, view())

    folder = write_training_set(data, tmp_path, {"kind": "expanding walk-forward"})
    write_training_set(data, tmp_path, {"kind": "expanding walk-forward"})

    meta = json.loads((folder / "meta.json").read_text())
    assert folder.name == meta["hash"] == data.hash
    assert meta["provenance"]["groups"]["market v1"]["fingerprint"] == GROUP.fingerprint
    assert meta["provenance"]["query"]["entity"] == {"symbol": "BTC-USD"}
    assert meta["provenance"]["query"]["as_of"] is not None
    [split] = folder.glob("split-*.json")
    assert json.loads(split.read_text()) == {"kind": "expanding walk-forward"}
    assert sorted(path.name for path in folder.parent.iterdir()) == [data.hash]


def test_a_damaged_training_set_is_refused(store: Any, tmp_path: Path) -> None:
    """One byte changed, and the set is no longer the one asked for."""
    data = materialise(store, view())
    folder = write_training_set(data, tmp_path)
    content = bytearray((folder / "arrays.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "arrays.npz").write_bytes(content)

    with pytest.raises(SchemaError, match="training set in"):
        read_training_set(tmp_path, data.hash)


@pytest.mark.parametrize("digest", ["../../etc", "abc", "0" * 64])
def test_a_hash_leads_to_no_other_folder(tmp_path: Path, digest: str) -> None:
    """Only a hash names a training set, and one that is not there is not found."""
    with pytest.raises(NotFound, match="training set"):
        read_training_set(tmp_path, digest)


def test_arrays_cannot_be_written_to(store: Any) -> None:
    """A training set is immutable in memory too."""
    with pytest.raises(ValueError, match="read-only"):
        materialise(store, view()).X[0, 0] = 1.0


def test_a_view_without_a_label_is_refused(store: Any) -> None:
    """Nothing is trained towards nothing."""
    bare = FeatureView("bare_view", 1, [GROUP.ref], ("signal",))
    store.apply(bare)

    with pytest.raises(DefinitionError, match="no label"):
        materialise(store, bare)


def test_a_missing_view_says_which_commands_make_one(store: Any) -> None:
    """The error about a missing view carries the next commands, in the order that works."""
    with pytest.raises(NotFound, match=r"ingest historical .* then btcfs ingest create-view"):
        training_view(store)


def test_a_market_without_rows_is_not_enough(store: Any) -> None:
    """A market that is not stored gives no empty training set but an error that names it and the next command."""
    with pytest.raises(InsufficientHistory, match=r"labels of ETH-USD 1d known as of .* btcfs ingest historical"):
        materialise(store, view(), entity={"symbol": "ETH-USD"})


def test_rows_that_are_all_left_out_are_not_enough(store: Any) -> None:
    """Where no row is left, the error says why each was left out, or that there was none."""
    X, prices = market(0.5, seed=1, rows=120, features=2)
    store.write(GROUP, rows(prices, X * np.nan))

    with pytest.raises(InsufficientHistory, match=r"all were left out \(121 warm-up\)"):
        materialise(store, view())
    with pytest.raises(InsufficientHistory, match="none from start to end"):
        materialise(store, view(), start=parse_instant("2100-01-01T00:00:00Z"))
