"""btcfs train while the configured backend does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from commandline import Run, parsed

pytest.importorskip("hopsworks", reason="the extra hopsworks is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")


@pytest.mark.slow
def test_the_local_store_is_trained_on_only_if_that_is_allowed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that is away is exit code 4 and no version; allowed to, the same command trains locally and says so."""
    run("ingest", "historical", "--source", "sample", "--days", "300")
    run("ingest", "create-view")
    for name, value in {"HOST": "127.0.0.1", "PORT": "9", "API_KEY": "a key"}.items():  # nothing listens on that port
        monkeypatch.setenv(f"HOPSWORKS_{name}", value)
    plain = ("--backend", "hopsworks", "train", "--use-feature-store", "--model", "majority", "--folds", "2", "--json")

    refused = run(*plain, code=4).output
    before = list(Path().glob("models/v*"))
    report = parsed(run(*plain, "--allow-fallback"))

    assert "btcfs train --allow-fallback" in refused
    assert before == []
    assert report["backend"] == "hopsworks"
    assert report["provenance"]["feature_source"] == "duckdb"
    assert "127.0.0.1:9" in report["provenance"]["fallback_reason"]
    assert [f["level"] for f in report["findings"] if f["name"] == "trained on a fallback"] == ["warning"]
    assert sorted(path.name for path in Path().glob(".btcfs*")) == [".btcfs"]
