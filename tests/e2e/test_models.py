"""The commands around trained models, as a user runs them over the embedded default."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from btcfs.connection import connect
from btcfs.definitions import FeatureView, Label
from btcfs.training.bundle import Bundle, save_bundle
from btcfs.training.gate import beats_baseline
from commandline import Run, parsed
from trained import KINDS

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

FEATURES = ("close", "return_1", "rsi_14", "day_of_week")


@pytest.fixture
def trained(run: Run) -> Callable[..., Bundle]:
    """A bundle trained on stored features of the sample market; recorded as better than its baseline, or not."""
    run("ingest", "historical", "--source", "sample", "--days", "120")
    with connect() as store:
        [group] = [d for d in store.definitions() if d.name == "bitcoin_features"]
        view = FeatureView("small_view", 1, [group.ref], FEATURES, label=Label())
        store.apply(view)
        matrix = store.read(group)[list(FEATURES)].to_numpy(dtype=np.float64)
    change = np.append(np.diff(matrix[:, 0]) / matrix[:-1, 0] * 100.0, 0.0)

    def save(better: bool = True) -> Bundle:
        return save_bundle(
            "models",
            estimators={
                "classification": KINDS["logistic"].estimator(FEATURES).fit(matrix, (change > 0).astype(float)),
                "regression": KINDS["ridge"].estimator(FEATURES).fit(matrix, change),
            },
            view=view,
            label=Label(),
            parity_rows=matrix,
            metadata={"checks": [beats_baseline(better, "as recorded").to_dict()]},
            metrics={"classification": {"accuracy": 0.5}},
        )

    return save


def test_no_model_yet(run: Run) -> None:
    """An empty folder is no error; a version that is not there is not found."""
    assert "btcfs train makes the first" in run("models", "list").output
    assert parsed(run("models", "list", "--json")) == {"models": "models", "versions": []}
    assert "no model version" in run("models", "show", "v20251206T120000Z", code=5).stderr
    assert "not a model version" in run("models", "activate", "../../etc", code=5).stderr
    assert "no model was active" in run("models", "rollback", code=5).stderr


def test_the_way_through_the_gate(run: Run, trained: Callable[..., Bundle]) -> None:
    """A version that passes every check is activated, after a dry run that changed nothing; a rollback goes back."""
    first, second = trained(), trained()
    dry = parsed(run("models", "activate", first.version, "--dry-run", "--json"))
    assert [version["status"] for version in parsed(run("models", "list", "--json"))["versions"]] == ["candidate"] * 2

    text = run("models", "activate", first.version).output
    done = parsed(run("models", "activate", second.version, "--json"))

    assert dry["obstacles"] == []
    assert not dry["activated"]
    assert f"{first.version} is active" in text
    assert {check["name"] for check in done["checks"]} == {
        *("beats_baseline", "view_stored", "features_certified", "data_checks"),
    }
    assert done["activated"]
    assert parsed(run("models", "rollback", "--dry-run", "--json"))["to"] == first.version
    assert f"went back from {second.version} to {first.version}" in run("models", "rollback").output
    listed = {v["version"]: v["status"] for v in parsed(run("models", "list", "--json"))["versions"]}
    assert listed == {first.version: "active", second.version: "retired"}


def test_the_gate_stays_shut(run: Run, trained: Callable[..., Bundle]) -> None:
    """A model no better than its baseline stays a candidate with exit code 1, unless it is forced with a reason."""
    version = trained(better=False).version

    refused = run("models", "activate", version, code=1)
    assert "✗ beats_baseline: as recorded" in refused.stderr
    assert parsed(run("models", "activate", version, "--json", code=1))["obstacles"] == ["beats_baseline"]
    assert parsed(run("models", "list", "--json"))["versions"][0]["status"] == "candidate"

    forced = parsed(run("models", "activate", version, "--force", "a rehearsal", "--json"))
    assert (forced["activated"], forced["forced"]) == (True, "a rehearsal")
    shown = parsed(run("models", "show", version, "--json"))
    assert shown["activations"][0]["force_reason"] == "a rehearsal"
    assert "forced: a rehearsal" in run("models", "show", version).output


def test_a_store_that_lacks_the_view(run: Run, trained: Callable[..., Bundle]) -> None:
    """Over a store without the model's view and data, each check that needs them fails in words."""
    version = trained().version

    value = parsed(run("--backend", "memory", "models", "activate", version, "--json", code=1))

    assert value["obstacles"] == ["view_stored", "features_certified", "data_checks"]
    assert not value["activated"]


def test_a_tampered_bundle(run: Run, trained: Callable[..., Bundle]) -> None:
    """A bundle of which a byte was changed is refused with exit code 3, also with force."""
    made = trained()
    path = made.path / "regression.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))

    for command in (["show", made.version], ["activate", made.version, "--force", "because"]):
        assert "not the file that was saved" in run("models", *command, code=3).stderr


def test_the_gate_looks_at_the_models_own_market(run: Run) -> None:
    """The data checks are about the market that the model was trained on, whatever market is configured."""
    other = ("--symbol", "ETH-USD")
    run("ingest", "historical", "--source", "sample", "--days", "260", *other)
    run("ingest", "create-view")
    version = parsed(run("train", "--folds", "1", "--json", *other))["version"]

    value = parsed(run("models", "activate", version, "--dry-run", "--json", code=None))

    assert {c["name"]: c["passed"] for c in value["checks"]}["data_checks"]
