"""The guide's classes and functions: every method and argument, beyond what the guide's own blocks use of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trained
from btcfs import BitcoinFeatureStore, FeatureStorePredictor, prepare_features_for_store, validate_features
from btcfs.bitcoin import compute_features_locally
from btcfs.connection import connect, open_source
from btcfs.errors import DefinitionError, InsufficientHistory, NotFound, SchemaError, StoreUnavailable
from btcfs.instants import now
from btcfs.pipeline.ingest import Ingest
from btcfs.plugins import installed_plugins
from btcfs.store import FeatureStore
from served import market


@pytest.fixture(scope="module")
def filled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which btcfs ingest ran, as the guide has it run before its Python."""
    folder = tmp_path_factory.mktemp("guide")
    with connect("duckdb", path=folder / ".btcfs", defaults={"symbol": "BTC-USD"}) as store:
        ingest = Ingest(store, open_source("sample", installed_plugins(()), {"seed": 7}))
        ingest.historical(200)
    return folder


@pytest.fixture(scope="module")
def filled_memory() -> Iterator[FeatureStore]:
    """The same in a dictionary."""
    with connect("memory") as store:
        Ingest(store, open_source("sample", installed_plugins(()), {"seed": 7})).historical(200)
        yield store


@pytest.fixture(params=["duckdb", "memory"])
def fs(
    request: pytest.FixtureRequest, filled_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BitcoinFeatureStore]:
    """Connected, in that folder or to that dictionary."""
    monkeypatch.chdir(filled_folder)
    for name in [name for name in os.environ if name.startswith("BTCFS_")]:
        monkeypatch.delenv(name)
    store = request.getfixturevalue("filled_memory") if request.param == "memory" else None
    with BitcoinFeatureStore(store=store) as connected:
        yield connected


def raw_candles(fs: BitcoinFeatureStore) -> pd.DataFrame:
    from btcfs.pipeline.standard import candle_group

    return fs.store.read(candle_group("1d")).drop(columns=["symbol", "event_time"])


def test_deleting_needs_a_version_and_no_view(
    fs: BitcoinFeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting needs a version or all in so many words, and is refused while a view or a model uses the group."""
    fs.create_feature_view()
    with pytest.raises(DefinitionError, match="used by"):
        fs.delete_feature_group("bitcoin_features", version=1)
    monkeypatch.chdir(tmp_path)
    with BitcoinFeatureStore() as other:
        other.ingest_features(prepare_features_for_store(market()).tail(5))
        with pytest.raises(DefinitionError, match="which version"):
            other.delete_feature_group("bitcoin_features")
        assert other.delete_feature_group("bitcoin_features", version=1, dry_run=True) == ["bitcoin_features v1"]
        trained.bundle(other.models_dir)
        with pytest.raises(DefinitionError, match=r"used by the models v\S+ \(candidate\)"):
            other.delete_feature_group("bitcoin_features", version=1)
        other.delete_feature_group("bitcoin_features", version=1, force_reason="nobody uses it")
        with pytest.raises(NotFound):
            other.get_feature_monitoring("bitcoin_features", 1)


def test_connecting_says_whether_it_worked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """connect() is a bool; with strict it raises; before it, nothing was opened."""
    monkeypatch.chdir(tmp_path)
    fs = BitcoinFeatureStore(backend="nowhere")

    assert fs.connect() is False
    with pytest.raises(Exception, match="nowhere"):
        fs.connect(strict=True)
    with pytest.raises(StoreUnavailable):
        _ = fs.store
    assert not (tmp_path / ".btcfs").exists()


def test_ingesting_leaves_the_frame_alone_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's frame is not changed; equal rows are not written again; of repeated keys the last counts."""
    monkeypatch.chdir(tmp_path)
    rows = prepare_features_for_store(market()).tail(20)
    twice = pd.concat([rows, rows.tail(2)])
    before = twice.copy(deep=True)
    with BitcoinFeatureStore() as fs:
        first, again = fs.ingest_features(twice), fs.ingest_features(rows)

        assert (first.rows_in, first.inserted, first.duplicates) == (22, 20, 2)
        assert (again.inserted, again.updated, again.unchanged, again.commit_id) == (0, 0, 20, None)
        pd.testing.assert_frame_equal(twice, before)
        with pytest.raises(SchemaError, match="timestamp"):
            fs.ingest_features(rows.drop(columns=["timestamp", "event_time"]))
        with pytest.raises(SchemaError, match="lacks rsi_14"):
            fs.ingest_features(rows.drop(columns="rsi_14"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"high": 1.0}, "ohlc, 1 time.*validate_features"),
        ({"volume": -1.0}, "negative|volume"),
        ({"rsi_14": 101.0}, "rsi_14 leaves"),
        ({"rsi_14": np.inf}, "rsi_14"),
    ],
)
def test_an_impossible_row_is_refused_before_anything_is_written(
    change: dict[str, float], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An impossible candle or feature leaves the store as it was, without the group even."""
    monkeypatch.chdir(tmp_path)
    rows = prepare_features_for_store(market(400))
    rows.loc[rows.index[300], list(change)] = list(change.values())
    with BitcoinFeatureStore() as fs:
        with pytest.raises(SchemaError, match=message):
            fs.ingest_features(rows)

        assert list(fs.store.definitions()) == []


def test_a_hole_and_a_gap_are_stored_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value or a candle may be missing; the report says which."""
    monkeypatch.chdir(tmp_path)
    rows = prepare_features_for_store(market(400))
    rows.loc[rows.index[300], "sma_10"] = np.nan
    with BitcoinFeatureStore() as fs:
        report = fs.ingest_features(rows.drop(index=rows.index[350]))

    assert report.inserted == 399
    assert any("sma_10 is missing after its warm-up, first in row 300" in warning for warning in report.warnings)
    assert any(warning.startswith("gap, 1 time") for warning in report.warnings)


def test_what_is_no_frame_is_refused(fs: BitcoinFeatureStore) -> None:
    """A list of numbers is named as what it is."""
    with pytest.raises(SchemaError, match="list is no frame"):
        fs.ingest_features([1.0, 2.0])  # type: ignore[arg-type]


def test_who_creates_the_view_first_does_not_matter(fs: BitcoinFeatureStore) -> None:
    """The training view has a label and a twin without, however it came about; another label is refused."""
    one = fs.create_feature_view()
    names = {d.name: d for d in fs.store.definitions()}

    assert one.view.label is not None
    assert names["bitcoin_inference_view"].features == one.features
    assert fs.create_feature_view("bitcoin_training_view", label_column="close").id == one.id
    with pytest.raises(DefinitionError, match="another version"):
        fs.create_feature_view(label_column="open")


def test_training_data_come_back_bit_for_bit(fs: BitcoinFeatureStore) -> None:
    """A training set is read again by its version, whatever was rewritten since."""
    X, y = fs.get_training_data()
    version = X.attrs["training_dataset_version"]
    group = fs.create_bitcoin_features_fg().definition
    rows = fs.store.read(group)
    fs.store.write(group, rows.assign(rsi_14=rows["rsi_14"] / 2))
    again, label = fs.get_training_data(training_dataset_version=version)
    fs.store.write(group, rows)

    pd.testing.assert_frame_equal(X, again)
    pd.testing.assert_series_equal(y, label)
    assert X.index.is_monotonic_increasing
    [split] = (fs.models_dir / "datasets" / version).glob("split-*.json")
    assert json.loads(split.read_text())["kind"] == "all rows"
    with pytest.raises(NotFound, match="1 is not the hash"):
        fs.get_training_data(training_dataset_version=1)  # type: ignore[arg-type]


def test_a_label_of_no_price_is_refused(fs: BitcoinFeatureStore) -> None:
    """A view's label looks at a price that is there, or the view is not made."""
    with pytest.raises(DefinitionError, match="'closes' is neither .* did you mean close"):
        fs.create_feature_view("other_view", label_column="closes")

    assert "other_view" not in {definition.name for definition in fs.store.definitions()}


def test_batch_data_are_half_open(fs: BitcoinFeatureStore) -> None:
    """start <= event time < end, in every backend."""
    everything = fs.get_batch_data()
    start, end = everything.index[-10] + timedelta(days=1), everything.index[-5] + timedelta(days=1)

    part = fs.get_batch_data(start_time=start.to_pydatetime(), end_time=end.to_pydatetime())

    assert list(part.index) == list(everything.index[-10:-5])
    with_keys = fs.get_batch_data(start_time=start.to_pydatetime(), end_time=end.to_pydatetime(), with_keys=True)
    assert list(with_keys.columns[:3]) == ["symbol", "timestamp", "event_time"]
    pd.testing.assert_frame_equal(with_keys[list(part.columns)], part)


def test_online_features_are_a_dict_of_the_newest_or_of_a_candle(fs: BitcoinFeatureStore) -> None:
    """Any instant inside a candle means it, and a candle that is not stored is not blank."""
    rows = fs.get_batch_data()
    noon = rows.index[-2].to_pydatetime() + timedelta(hours=12)

    assert fs.get_online_features()["close"] == rows["close"].iloc[-1]
    assert fs.get_online_features(entry={"timestamp": noon})["close"] == rows["close"].iloc[-2]
    with pytest.raises(NotFound):
        fs.get_online_features(entry={"timestamp": "2011-01-01T00:00:00Z"})


def test_many_vectors_say_what_is_missing(fs: BitcoinFeatureStore) -> None:
    """Order is kept; a missing key is an error, a None or left out, as asked."""
    view = fs.create_feature_view()
    known, unknown = {"timestamp": fs.get_batch_data().index[-1].to_pydatetime()}, {"timestamp": "2011-01-01T00:00:00Z"}

    middle = {"timestamp": fs.get_batch_data().index[-9].to_pydatetime()}

    with pytest.raises(NotFound):
        view.get_feature_vectors([known, unknown])
    mixed = view.get_feature_vectors([unknown, middle, known, unknown, known], missing="null")
    assert [None if v is None else v.tolist() for v in mixed] == [
        *(None, view.get_feature_vector(middle).tolist(), view.get_feature_vector(known).tolist()),
        *(None, view.get_feature_vector(known).tolist()),
    ]
    assert view.get_feature_vectors([], missing="null") == []
    assert [v is None for v in view.get_feature_vectors([unknown, known], missing="null")] == [True, False]
    assert len(view.get_feature_vectors([unknown, known], missing="skip")) == 1
    assert view.get_feature_window(3).values.shape == (3, 47)


def test_the_predictor_says_where_each_vector_comes_from(fs: BitcoinFeatureStore) -> None:
    """Stored, computed by choice, or computed because it is not stored; upper case names will do."""
    fs.create_feature_view()
    candles = raw_candles(fs)
    row = candles.iloc[-1]
    body = {n.capitalize(): float(row[n]) for n in ("open", "high", "low", "close", "volume")}
    stored, local = FeatureStorePredictor(True, store=fs.store), FeatureStorePredictor(False, store=fs.store)

    one = stored.get_features_for_prediction({**body, "timestamp": row["timestamp"].isoformat()})
    two = local.get_features_for_prediction({**body, "timestamp": row["timestamp"]})

    assert (one.attrs["feature_source"], two.attrs["feature_source"]) == (fs.store.name, "local")
    pd.testing.assert_frame_equal(one, two)
    with pytest.raises(InsufficientHistory):
        local.get_features_for_prediction({**body, "timestamp": "2012-01-01T00:00:00Z"})
    with pytest.raises(SchemaError, match="high"):
        stored.get_features_for_prediction({**body, "High": 1.0, "timestamp": now()})


def test_one_candle_alone_is_refused(fs: BitcoinFeatureStore) -> None:
    """Local computation of a single candle has no history, and says how much it needs."""
    with pytest.raises(InsufficientHistory, match="at least 200"):
        compute_features_locally(raw_candles(fs).tail(1))


def test_validation_allows_warm_up_and_nothing_else() -> None:
    """Values missing at the start are no error; one in the middle, an infinite one or an impossible candle is."""
    rows = prepare_features_for_store(market(400))
    hole = rows.copy()
    hole.loc[hole.index[300], "sma_10"] = np.nan
    endless = rows.assign(rsi_14=np.inf)
    upside_down = rows.assign(high=rows["low"] / 2)

    assert validate_features(rows)
    assert [bool(validate_features(f)) for f in (hole, endless, upside_down)] == [False] * 3
    assert "sma_10 is missing" in validate_features(hole).violations[0].detail
    assert not validate_features(rows.drop(columns=["timestamp", "event_time"]))


def test_preparation_reports_what_it_did() -> None:
    """The schema report names renamed columns, dropped rows and missing values; the input stays as it is."""
    raw = market(300).rename(columns=str.capitalize)
    before = raw.copy(deep=True)

    features = prepare_features_for_store(pd.concat([raw, raw.tail(1)]))

    report = features.attrs["schema_report"]
    assert (report["rows_in"], report["rows_out"], report["dropped"]) == (301, 300, 1)
    assert report["renamed"]["Close"] == "close"
    assert report["missing"]["sma_200"] == 199
    pd.testing.assert_frame_equal(raw, before)
    with pytest.raises(SchemaError, match="time zone"):
        prepare_features_for_store(raw.assign(Timestamp="2024-01-01T00:00:00"))


def test_a_file_may_name_its_times_twice() -> None:
    """Of unix and date, as in common files, the first is the time; a name given twice is refused."""
    raw = market(300)
    downloaded = raw.rename(columns={"timestamp": "date", "volume": "Volume BTC"})
    downloaded.insert(0, "unix", raw["timestamp"].astype("int64") // 1_000_000)

    features = prepare_features_for_store(downloaded)

    assert features["timestamp"].tolist() == raw["timestamp"].tolist()
    assert features.attrs["schema_report"]["renamed"]["unix"] == "timestamp"
    with pytest.raises(SchemaError, match="more than one column of the frame means close"):
        prepare_features_for_store(raw.assign(Close=1.0))
