"""Every Python block of the integration guide, run as it stands but for the import line, on the embedded default."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pandas as pd
import pytest

from btcfs import BitcoinFeatureStore, Feature, prepare_features_for_store
from btcfs.bitcoin import compute_features_locally
from btcfs.connection import connect, open_source
from btcfs.errors import DefinitionError, NotFound
from btcfs.instants import parse_instant
from btcfs.pipeline.ingest import Ingest
from btcfs.pipeline.standard import candle_group
from btcfs.plugins import installed_plugins
from guide import GUIDE, Block, block, blocks, titles

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")
pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

PYTHON = blocks("python")
NOW = parse_instant("2025-12-06T13:00:00Z")  # an hour after the candle in the guide's request

# What a block leaves for its reader to have: every name here is undefined in the guide where it is used.
GIVEN = {
    "Training Code Integration": "model, an estimator",
    "Update FastAPI with Feature Store": "os, app, PredictionInput, and a fitted scaler and model",
    "Update Feature Schema": "fs, connected, and enhanced_features_df with a further column",
    "Clean Old Features": "fs, connected",
    "Online Serving Slow": "fs, connected, and three candles' times ts1, ts2, ts3",
    "Feature Store vs Local Differences": "fs, fv, compute_features_locally, and data with the raw candles",
    "Feature Documentation": "fs, connected",
    "Version Control": "fs, connected",
    "Data Validation": "fs, fg, and features_df with the guide's column names",
}
NOT_PYTHON = {
    "Feature Naming Conventions": "a list of good and bad names; the good ones are registered instead",
    "Cost Optimization": "a list of four pieces of advice; the calls and rows that they save are counted instead",
}


class WebApp:
    """The part of a web framework that the guide's predictor uses, over Starlette."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def post(self, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def keep(function: Callable[..., Any]) -> Callable[..., Any]:
            async def endpoint(request: Any) -> JSONResponse:
                return JSONResponse(await function(PredictionInput(await request.json())))

            self.routes.append(Route(path, endpoint, methods=["POST"]))
            return function

        return keep


@attrs.frozen
class PredictionInput:
    """A request's body."""

    values: Any

    def dict(self) -> Any:
        return self.values


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which features were ingested on the day of the guide's request, as the guide has it done first."""
    folder = tmp_path_factory.mktemp("guide")
    with connect("duckdb", path=folder / ".btcfs", defaults={"symbol": "BTC-USD"}) as store:
        Ingest(store, open_source("sample", installed_plugins(()), {"seed": 7}), now=NOW).historical(200)
    return folder


@pytest.fixture
def world(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the guide leaves to its reader, in a folder of the block's own."""
    shutil.copytree(filled, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    for name in [name for name in os.environ if name.startswith(("BTCFS_", "USE_FEATURE"))]:
        monkeypatch.delenv(name)
    with BitcoinFeatureStore() as fs:
        candles = fs.store.read(candle_group("1d")).drop(columns=["symbol", "event_time"])
    features = prepare_features_for_store(candles).tail(50).drop(columns=["ingestion_time", "pipeline_version"])
    scaler = StandardScaler().fit(features.drop(columns=["symbol", "timestamp", "event_time"]))
    scaled = scaler.transform(features.drop(columns=["symbol", "timestamp", "event_time"]))
    ts1, ts2, ts3 = (time.to_pydatetime() for time in candles["timestamp"].iloc[-3:])
    return {
        **{"os": os, "app": WebApp(), "PredictionInput": PredictionInput, "scaler": scaler},
        "model": LogisticRegression().fit(scaled, [0, 1] * 25),
        **{"ts1": ts1, "ts2": ts2, "ts3": ts3, "data": candles},
        "compute_features_locally": compute_features_locally,
        "features_df": features.rename(columns={"close": "Close", "volume": "Volume"}),
        "enhanced_features_df": features.assign(sentiment=0.5),
    }


def executed(found: Block, world: dict[str, Any]) -> dict[str, Any]:
    """The names after the block ran, in a module where ``fs``, ``fg`` and ``fv`` are there if the guide assumes them."""
    assumed = {"fs": BitcoinFeatureStore()} if "fs" in _undefined(found) else {}
    for fs in assumed.values():
        fs.connect(strict=True)
    if "fv" in _undefined(found):
        assumed["fv"] = assumed["fs"].create_feature_view("bitcoin_training_view", version=1)
    if "fg" in _undefined(found):
        assumed["fg"] = assumed["fs"].create_bitcoin_features_fg(version=1)
    names = {**world, **assumed}
    exec(compile(found.runnable, found.heading, "exec"), names)
    return names


def _undefined(found: Block) -> set[str]:
    """Those of fs, fg and fv that the block uses and does not make."""
    used = {name for name in ("fs", "fg", "fv") if re.search(rf"\b{name}\b", found.runnable)}
    return {name for name in used if not re.search(rf"^{name} = ", found.runnable, re.MULTILINE)}


@pytest.mark.parametrize("found", [b for b in PYTHON if b.heading not in NOT_PYTHON], ids=lambda b: b.heading)
def test_every_python_block_runs(found: Block, world: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Each Python block of the guide runs with nothing changed but its import line."""
    names = executed(found, world)

    made = {"fs", "fv", "fg", "fg_v2", "fg_v3", "stats", "features", "X_train", "feature_predictor"} & set(names)
    assert made, "the block left nothing behind"
    if "print(" in found.code and "def " not in found.code:
        assert capsys.readouterr().out
    if isinstance(names.get("fs"), BitcoinFeatureStore):
        names["fs"].close()


@pytest.mark.parametrize("heading", sorted(NOT_PYTHON))
def test_what_is_no_python_is_none(heading: str) -> None:
    """The blocks left out are those that Python cannot read, and no others."""
    with pytest.raises(SyntaxError):
        compile(block("python", heading).runnable, heading, "exec")


def test_what_the_guide_leaves_undefined_is_listed() -> None:
    """The table of what blocks need beside themselves names blocks that exist, and the rest need nothing."""
    known = {b.heading for b in PYTHON}

    assert set(GIVEN) | set(NOT_PYTHON) <= known
    assert known - set(GIVEN) - set(NOT_PYTHON) == {
        *("Configure API Key", "Feature Statistics", "Feature Monitoring Dashboard"),
    }


@pytest.mark.skipif(not GUIDE.is_file(), reason=f"the guide is not at {GUIDE}; set BTCFS_SHARED_DOCS to its folder")
@pytest.mark.parametrize("language", ["python", "bash"])
def test_the_blocks_kept_here_are_the_guides(language: str) -> None:
    """Where the guide is at hand, its blocks and the kept ones are the same, in the same order."""
    assert blocks(language) == blocks(language, GUIDE)
    assert len(titles(blocks(language))) > 10


def test_the_trained_model_saw_complete_rows(world: dict[str, Any]) -> None:
    """The training block fits on rows without a missing value, in the view's order."""
    names = executed(block("python", "Training Code Integration"), world)

    assert len(names["X_train"]) == len(names["y_train"]) > 150
    assert list(names["X_train"].columns) == list(names["fv"].features)
    assert names["model"].n_features_in_ == 47
    names["fs"].close()


@pytest.mark.parametrize(("switch", "source"), [("true", "hopsworks"), ("false", "local")])
def test_the_predictor_answers_the_guides_request(
    switch: str, source: str, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The route of the API block answers the body of the guide's curl line, whose candle is not stored yet."""
    monkeypatch.setenv("USE_FEATURE_STORE", switch)
    with BitcoinFeatureStore() as fs:
        fs.create_feature_view()
    found = block("python", "Update FastAPI with Feature Store")
    names = executed(found, world)
    [body] = re.findall(r"-d '(.*?)'", block("bash", found.heading, "curl").code, re.DOTALL)

    with TestClient(Starlette(routes=world["app"].routes)) as client:
        answer = client.post("/predict", json=json.loads(body)).json()

    assert answer["prediction"] in (0, 1)
    assert answer["feature_source"] == source  # a word that the guide writes itself; the truth is in the frame's attrs
    names["feature_predictor"].close()


def test_store_and_local_features_are_equal(world: dict[str, Any]) -> None:
    """The comparison block finds no difference in any of the 47 features."""
    names = executed(block("python", "Feature Store vs Local Differences"), world)

    shared = names["diff"].drop("timestamp").dropna()
    assert len(shared) == 47
    assert float(shared.max()) == 0.0
    names["fs"].close()


def test_a_new_version_stands_beside_the_old(world: dict[str, Any]) -> None:
    """Ingesting a further column defines version 2, and version 1 is as it was."""
    names = executed(block("python", "Update Feature Schema"), world)

    groups = {d.title: d for d in names["fs"].store.definitions()}
    assert "sentiment" in groups["bitcoin_features v2"].feature_names
    assert "sentiment" not in groups["bitcoin_features v1"].feature_names
    names["fs"].close()


def test_deleting_deletes_the_one_version(world: dict[str, Any]) -> None:
    """After the clean-up block version 1 is gone; while a view uses it, the block is refused."""
    found = block("python", "Clean Old Features")
    names = executed(found, world)

    with pytest.raises(NotFound):
        names["fs"].get_feature_monitoring("bitcoin_features", version=1)
    names["fs"].create_feature_view()
    with pytest.raises(DefinitionError, match="used by"):
        exec(found.runnable, names)
    names["fs"].close()


def test_the_guides_validation_accepts_what_it_should(world: dict[str, Any]) -> None:
    """The guide's own function with its upper case names lets a good frame in, which then changes nothing."""
    names = executed(block("python", "Data Validation"), world)

    report = names["fs"].ingest_features(names["features_df"], names["fg"])
    assert (report.rows_in, report.inserted, report.updated) == (50, 0, 0)
    names["fs"].close()


def test_good_names_are_names() -> None:
    """In place of the naming block: what it calls good can be registered; upper case, as its own Close, cannot."""
    good, _, bad = block("python", "Feature Naming Conventions").code.partition("BAD:")
    names = re.findall(r"^- (\w+)$", good, re.MULTILINE)

    assert [Feature(name).name for name in names] == ["bitcoin_close_price", "rsi_14_period", "sma_20_days"]
    assert re.findall(r"^- (\w+)$", bad, re.MULTILINE) == ["cp", "indicator1", "feature_x"]
    with pytest.raises(DefinitionError, match="snake case"):
        Feature("Close")


def test_what_the_advice_on_cost_saves(world: dict[str, Any], tmp_path: Path) -> None:
    """In place of the cost block: a frame is one commit, a lookup is read once, a second ingest writes nothing."""
    rows = world["features_df"].rename(columns={"Close": "close", "Volume": "volume"})
    advice = block("python", "Cost Optimization").code
    assert [line for line in advice.splitlines() if line[:1].isdigit()] == [
        "1. Batch ingestion (reduce API calls)",
        "2. Feature caching (reduce lookups)",
        "3. Incremental updates (reduce storage)",
        "4. Compression (reduce egress)",
    ]
    with connect("duckdb", path=tmp_path / "new", defaults={"symbol": "BTC-USD"}) as store:
        with BitcoinFeatureStore(store=store) as fs:
            first, second = fs.ingest_features(rows), fs.ingest_features(rows)
            view = fs.create_feature_view()
            vectors = [view.get_vector({}) for _ in range(3)]
        [group] = [d for d in store.definitions() if d.name == "bitcoin_features"]
        stored = store.summary(group)

    assert (first.inserted, second.inserted, second.updated, second.commit_id) == (50, 0, 0, None)
    assert stored.rows == 50
    assert vectors[0] is vectors[1] is vectors[2]


def test_the_frame_check_of_the_troubleshooting_page(world: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The Python inside the guide's shell line shows columns, types and missing values of a CSV file."""
    shell = block("bash", "Feature Ingestion Failures").code
    [code] = re.findall(r'python -c "\n(.*?)\n"', shell, re.DOTALL)
    raw = Path("data/raw/bitcoin_sample.csv")
    raw.parent.mkdir(parents=True)
    candles: pd.DataFrame = world["data"]
    candles.rename(columns=lambda name: name if name == "timestamp" else name.capitalize()).to_csv(raw, index=False)

    exec(Block("", "python", code).runnable, {})

    shown = capsys.readouterr().out
    assert "'rsi_14'" in shown
    assert "Missing: " in shown
