"""Training from a store: the seven steps, the sealed rows, the reports and the command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import btcfs
from btcfs import memory
from btcfs.cli import main
from btcfs.definitions import Label
from btcfs.errors import ConfigError, InsufficientHistory, NotFound, StoreUnavailable
from btcfs.fallback import FallbackStore
from btcfs.instants import parse_instant
from btcfs.plugins import installed_plugins
from btcfs.training.bundle import load_bundle
from btcfs.training.choice import chosen_models
from btcfs.training.dataset_files import read_training_set
from btcfs.training.ledger import read_trials
from btcfs.training.registry import Registry
from btcfs.training.train import train
from outages import Outage
from stores import GROUP, filled, view
from training_sets import logistic, market, ridge

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

MODELS: Any = {"classification": logistic(), "regression": ridge()}


@pytest.fixture
def store() -> Any:
    X, prices = market(0.57, seed=1, rows=600, features=2)
    return filled(btcfs.connect("memory"), prices, X)


def test_training_saves_a_candidate_with_all_it_rests_on(store: Any, tmp_path: Path) -> None:
    """A version has both models, the training set's hash, the metrics and the checks, and is not active."""
    report = train(store, view=view(), models=MODELS, models_dir=tmp_path)

    assert report.bundle is not None
    bundle = load_bundle(report.bundle)
    data = read_training_set(tmp_path, report.training_set)
    assert bundle.version == report.version == report.bundle.name
    assert bundle.training_set == report.training_set == data.hash
    assert bundle.features == ("signal", "noise")
    assert bundle.metrics["classification"]["verdict"] == report.verdicts["classification"]
    assert {check["name"] for check in bundle.metadata["checks"]} == {"beats_baseline", "data_checks"}
    assert any("features_certified: was not made" in line for line in report.obstacles)
    assert Registry(tmp_path).active() is None
    assert [version.status for version in Registry(tmp_path).versions()] == ["candidate"]
    assert not list(tmp_path.glob(".claim-*"))


def test_training_from_python_certifies_the_features(store: Any, tmp_path: Path) -> None:
    """``btcfs.train`` makes the features' certificate by itself, and here finds features that no indicator computes."""
    report = btcfs.train(store, view=view(), models=MODELS, models_dir=tmp_path)

    checks = {check["name"]: check for check in report.checks}
    assert set(checks) == {"beats_baseline", "data_checks", "features_certified"}
    assert "signal is computed by no installed indicator" in checks["features_certified"]["detail"]


def test_a_long_training_says_how_far_it_is(store: Any, tmp_path: Path) -> None:
    """Each model of each fold is counted before its task's scores are told."""
    said: list[Any] = []
    train(store, view=view(), models=MODELS, models_dir=tmp_path, folds=7, notify=said.append, progress=said.append)

    first, second = [place for place, told in enumerate(said) if "Metrics of" in str(told)]
    assert said[:first].count(1) >= 7
    assert said[first:second].count(1) >= 7


def test_the_same_knowledge_gives_the_same_numbers(store: Any, tmp_path: Path) -> None:
    """Training again as of the same instant gives the same training set, scores and verdicts."""
    first = train(store, view=view(), models=MODELS, models_dir=tmp_path / "a")
    as_of = parse_instant(first.provenance["query"]["as_of"])

    second = train(store, view=view(), models=MODELS, models_dir=tmp_path / "b", as_of=as_of)

    assert second.training_set == first.training_set
    assert second.metrics == first.metrics


def test_the_seven_steps_are_told_with_true_numbers(store: Any, tmp_path: Path) -> None:
    """The console shows the guide's seven steps as they are done, and its numbers are those of the report."""
    told: list[str] = []

    report = train(store, view=view(), models=MODELS, models_dir=tmp_path, notify=told.extend)

    steps = [line for line in told if re.match(r"[1-7]\. ", line)]
    assert [line[0] for line in steps] == list("1234567")
    folds, sealed = report.split["folds"], report.split["holdout"]
    text = "\n".join(told)
    assert f"Loaded {report.rows} samples with 2 features" in text
    assert f"Train: {sealed['train']['rows']} samples" in text
    assert f"Test: {sealed['test']['rows']} samples, sealed" in text
    apart = sealed["purged"] + sealed["embargoed"]
    assert report.rows == sealed["train"]["rows"] + apart + sealed["test"]["rows"]
    assert report.rows == report.provenance["rows_read"] - sum(report.provenance["dropped"].values())
    assert report.tasks["classification"].evaluation.rows == sum(fold["test"]["rows"] for fold in folds)
    assert f"{report.tasks['classification'].evaluation.metrics['accuracy']:.4f}" in text
    assert report.text().splitlines()[:30] == told[:30]


def test_sealed_rows_are_scored_only_when_opened(store: Any, tmp_path: Path) -> None:
    """No score of the holdout exists before it is opened, and each opening stands in the ledger."""
    closed = train(store, view=view(), models=MODELS, models_dir=tmp_path)
    opened = train(store, view=view(), models=MODELS, models_dir=tmp_path, open_holdout=True)
    again = train(store, view=view(), models=MODELS, models_dir=tmp_path, open_holdout=True)

    assert all(part.holdout is None for part in closed.tasks.values())
    assert (closed.openings, opened.openings, again.openings) == (None, 0, 1)
    held = opened.tasks["classification"].holdout
    assert held is not None
    assert held.rows == opened.split["holdout"]["test"]["rows"]
    kinds = [trial.kind for trial in read_trials(tmp_path)]
    assert kinds.count("holdout") == 4
    assert kinds.count("walk-forward") == 6
    assert "sealed, opened, and 1 time before" in again.text()


def test_no_model_is_fitted_on_a_sealed_row(store: Any, tmp_path: Path) -> None:
    """Whatever is fitted, in a fold, in a tripwire or to be saved, was known before the first sealed row."""
    seen: list[int] = []
    data_hash = train(store, view=view(), models=MODELS, models_dir=tmp_path / "first").training_set
    data = read_training_set(tmp_path / "first", data_hash)
    position = {row.tobytes(): i for i, row in enumerate(data.X)}

    def spying(kind: Any) -> Any:
        def build() -> Any:
            estimator = kind.build()
            fit = estimator.fit

            def watched(X: Any, y: Any) -> Any:
                seen.append(max(position[row.tobytes()] for row in X))
                return fit(X, y)

            estimator.fit = watched
            return estimator

        return btcfs.ModelKind(kind.name, kind.task, build)

    watched: Any = {task: spying(kind) for task, kind in MODELS.items()}
    saved = train(
        store,
        view=view(),
        models=watched,
        models_dir=tmp_path,
        save=lambda folder, **_: load_saved(folder),
        notify=print,
    )

    sealed = len(data) - saved.split["holdout"]["test"]["rows"]
    assert len(seen) > 20
    assert max(seen) < sealed
    assert data.known_at[max(seen)] <= data.event_times[sealed]


def load_saved(folder: Path) -> Any:
    """What saving would give, for models that cannot be saved."""
    return type("Saved", (), {"path": folder})()


def test_the_page_needs_no_other_file(store: Any, tmp_path: Path) -> None:
    """The HTML report fetches and runs nothing, and each of its pictures is well-formed and has numbers only."""
    report = train(store, view=view(), models=MODELS, models_dir=tmp_path, open_holdout=True)
    page = report.html()

    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|src=|href=", page)
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    pictures = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(pictures) == 9
    for picture in pictures:
        assert "nan" not in re.sub(r">[^<]*<", "><", picture)
        assert ElementTree.fromstring(picture).get("aria-label")
    assert report.bundle is not None
    assert (report.bundle / "reports" / "report.html").read_text() == page
    assert json.loads((report.bundle / "reports" / "report.json").read_text())["verdicts"] == report.verdicts


def test_names_in_the_page_are_escaped(store: Any, tmp_path: Path) -> None:
    """A model's name is text in the page, whatever it is."""
    named: Any = {**MODELS, "classification": btcfs.ModelKind("<b>x", "classification", logistic().build)}

    report = train(store, view=view(), models=named, models_dir=tmp_path)

    assert "<b>x" not in report.html()
    assert "&lt;b&gt;x" in report.html()


def test_another_horizon_is_another_label(store: Any, tmp_path: Path) -> None:
    """The horizon goes into label, purge and embargo."""
    report = train(store, view=view(), models=MODELS, models_dir=tmp_path, horizon=5)

    assert report.label == Label(horizon=5).to_dict()
    assert report.split["embargo_seconds"] == 5 * 86_400
    assert all(fold["purged"] + fold["embargoed"] >= 9 for fold in report.split["folds"])


def test_too_few_rows_write_nothing(tmp_path: Path) -> None:
    """A store with too little history is refused before anything is written."""
    X, prices = market(0.5, seed=1, rows=50, features=2)
    store = filled(btcfs.connect("memory"), prices, X)

    with pytest.raises(InsufficientHistory):
        train(store, view=view(), models=MODELS, models_dir=tmp_path / "models")

    assert not (tmp_path / "models").exists()


def test_models_are_chosen_by_name() -> None:
    """One name gives its counterpart for the other task; unknown names and two of one task are refused."""
    plugins = installed_plugins()

    assert {task: kind.name for task, kind in chosen_models(plugins, "random_forest").items()} == {
        "classification": "random_forest",
        "regression": "random_forest_regressor",
    }
    assert chosen_models(plugins, ["ridge", "majority"])["classification"].name == "majority"
    with pytest.raises(NotFound, match=r"no model named 'logistc'; .*did you mean logistic"):
        chosen_models(plugins, "logistc")
    with pytest.raises(ConfigError, match="both for classification"):
        chosen_models(plugins, ["logistic", "majority"])


def run(folder: Path, *arguments: str) -> Any:
    return CliRunner().invoke(
        main, ["--backend", "duckdb", *arguments], env={"BTCFS_DUCKDB_PATH": str(folder / "store")}
    )


def test_the_command_trains_on_the_sample_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's commands, from ingestion to a candidate; without features the exit code says what is missing."""
    monkeypatch.chdir(tmp_path)

    missing = run(tmp_path, "train", "--use-feature-store")
    run(tmp_path, "ingest", "historical", "--source", "sample", "--days", "700")
    run(tmp_path, "ingest", "create-view")
    trained = run(tmp_path, "train", "--use-feature-store", "--test-size", "0.1", "--horizon", "2", "--json")
    unknown = run(tmp_path, "train", "--model", "oracle")
    wrong = run(tmp_path, "train", "--test-size", "1.5")

    assert missing.exit_code == 5
    assert "btcfs ingest historical" in missing.output
    assert trained.exit_code == 0, trained.output
    report = json.loads(trained.stdout)
    assert report["verdicts"] == {"classification": "no evidence of skill", "regression": "no evidence of skill"}
    assert report["label"]["horizon"] == 2
    assert [check["passed"] for check in report["checks"]] == [False, True, True]
    assert (tmp_path / "models" / report["version"] / "reports" / "report.html").is_file()
    assert unknown.exit_code == 5
    assert wrong.exit_code == 2


def mirrored(store: Any, folder: Path) -> tuple[Outage, FallbackStore]:
    """A store that can be taken away, whose mirror has all it holds."""
    primary = Outage(btcfs.connect("memory"))
    primary.name = "distant"
    both = FallbackStore(primary, btcfs.connect("memory"), folder)
    both.apply(GROUP)
    both.write(GROUP, store.read(GROUP))
    both.apply(view())
    return primary, both


def test_rows_of_a_mirror_are_trained_on_only_if_that_is_allowed(store: Any, tmp_path: Path) -> None:
    """While the store is away training fails and saves nothing; allowed to fall back, report and version say that it did."""
    primary, both = mirrored(store, tmp_path / "journal")
    with both:
        primary.mode = "down"
        with pytest.raises(StoreUnavailable, match=r"came from memory, for .*no route to the .*--allow-fallback"):
            train(both, view=view(), models=MODELS, models_dir=tmp_path / "models")
        refused = Registry(tmp_path / "models").versions()
        report = train(both, view=view(), models=MODELS, models_dir=tmp_path / "models", allow_fallback=True)
    untroubled = train(store, view=view(), models=MODELS, models_dir=tmp_path / "untroubled")

    assert refused == []
    assert report.bundle is not None
    stamped = load_bundle(report.bundle).metadata
    assert "no route" in stamped["provenance"]["fallback_reason"]
    assert stamped["provenance"]["freshness"]
    assert [f["level"] for f in stamped["findings"] if f["name"] == "trained on a fallback"] == ["warning"]
    assert "memory instead of distant, which did not answer" in report.text()
    assert "memory instead of distant" in report.html()
    assert report.training_set == untroubled.training_set
    assert not any(finding.name == "trained on a fallback" for finding in untroubled.findings)


@pytest.mark.parametrize(("name", "option"), [(None, ""), ("bitcoin_training_view_1h", " --interval 1h")])
def test_a_standard_view_that_is_missing(name: str | None, option: str) -> None:
    """The commands that make the view are those of its interval."""
    with memory.connect() as store, pytest.raises(NotFound, match=f"create-view{option}, then train again"):
        train(store, view=name)
