"""btcfs store delete, from what stands in the way to the rows that come back."""

from __future__ import annotations

from pathlib import Path

import pytest

import trained
from commandline import Run, parsed

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

GROUP = ("store", "delete", "bitcoin_features", "--version", "1")


@pytest.fixture
def run_filled(run: Run) -> Run:
    """The commands over forty days of features and the standard views."""
    run("ingest", "historical", "--source", "sample", "--days", "40")
    run("ingest", "create-view")
    return run


def names(run: Run) -> list[str]:
    value = parsed(run("store", "info", "--json"))
    return [row["name"] for row in (*value["groups"], *value["views"])]


def test_a_group_goes_only_when_nothing_needs_it_and_comes_back_by_a_copy(run_filled: Run) -> None:
    """Views first, then the models by force, each refusal naming them; the printed copy command restores every row."""
    run = run_filled
    version = trained.bundle(Path("models")).version
    before = parsed(run("store", "info", "--json"))["groups"]

    text = run(*GROUP, "--yes", code=3).output
    assert "bitcoin_inference_view v1, bitcoin_training_view v1" in text
    assert version in text
    for view in ("bitcoin_training_view", "bitcoin_inference_view"):
        run("store", "delete", "--view", view, "--version", "1", "--force", "a test", "--yes")
    assert f"{version} (candidate)" in run(*GROUP, "--yes", code=3).output
    done = parsed(run(*GROUP, "--yes", "--force", "a test", "--json"))

    assert (done["going"], done["rows"], done["reason"]) == (
        ["bitcoin_features v1"],
        {"bitcoin_features v1": 40},
        "a test",
    )
    assert "bitcoin_features" not in names(run)
    listed = parsed(run("store", "deleted", "--json"))
    assert [(row["kind"], row["name"]) for row in listed] == [
        ("group", "bitcoin_features"), ("view", "bitcoin_inference_view"), ("view", "bitcoin_training_view"),
    ]  # fmt: skip
    run("copy", "--from", done["restore"], "--to", "duckdb")
    after = parsed(run("store", "info", "--json"))["groups"]
    assert [group for group in after if group["name"] != "btcfs_deleted"] == before


def test_nothing_goes_without_a_yes(run_filled: Run) -> None:
    """Where nobody can be asked --yes is needed; a dry run shows what would go, and both leave the store as it was."""
    run = run_filled
    view = ("store", "delete", "--view", "bitcoin_inference_view", "--version", "1")
    before = names(run)

    assert "needs --yes" in run(*view, code=2).output
    assert "would delete bitcoin_inference_view v1 from duckdb" in run(*view, "--dry-run").output
    assert parsed(run(*view, "--dry-run", "--json"))["dry_run"] is True
    assert names(run) == before


def test_which_version_is_said_in_so_many_words(run_filled: Run) -> None:
    """Neither no version nor two answers is taken for all of them, and what is not there is not found."""
    run = run_filled
    run("store", "delete", "bitcoin_features", "--yes", code=2)
    run("store", "delete", "bitcoin_features", "--version", "1", "--all-versions", "--yes", code=2)
    run("store", "delete", "bitcoin_features", "--version", "0", "--yes", code=2)
    run("store", "delete", "bitcoin_features", "--version", "9", "--yes", code=5)
    run("store", "delete", "nothing", "--all-versions", "--yes", code=5)

    assert "nothing was ever deleted" in run("store", "deleted").output


def test_a_deleted_version_is_refused_to_another_definition(run_filled: Run) -> None:
    """Ingesting fewer features under the deleted version is refused before anything is written, and says which version is free."""
    run = run_filled
    for view in ("bitcoin_training_view", "bitcoin_inference_view"):
        run("store", "delete", "--view", view, "--version", "1", "--yes")
    run(*GROUP, "--yes", "--keep-days", "0")
    Path("btcfs.toml").write_text('features = ["sma_20"]\n', encoding="utf-8")

    refused = run("ingest", "historical", "--source", "sample", "--days", "40", code=3).output

    assert "bitcoin_features v1 was deleted" in refused
    assert "use version 2" in refused
    assert "bitcoin_features" not in names(run)
    Path("btcfs.toml").unlink()
    run("ingest", "historical", "--source", "sample", "--days", "40")
