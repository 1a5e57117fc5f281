"""Statistics and feature monitoring in Hopsworks itself, by the store and by ``btcfs monitor``."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs.cli import main
from btcfs.errors import DefinitionError, NotFound, SchemaError
from btcfs.testing.backends.examples import candles
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.gateway.monitoring import Monitoring
from commandline import parsed
from hopsworks_opening import applied, opening
from hopsworks_opening import emulator as emulator
from hopsworks_opening import untouched as untouched


def test_statistics_are_in_hopsworks(emulator: Emulator) -> None:
    """The cluster's statistics of a group are those of its rows, and the client finds them there."""
    with opening(emulator) as store:
        group = applied(store)
        rows = candles(group, 6)
        store.write(group, rows)
        found = store.compute_statistics(group)
        own = store._shared.session.store.get_feature_group(group.name, 1).get_statistics()

        assert found["a"]["mean"] == pytest.approx(rows["a"].mean(), rel=1e-9)
        assert found["a"]["count"] == 6
        assert {d.feature_name for d in own.feature_descriptive_statistics} == set(found)


def test_a_monitoring_is_made_listed_run_and_deleted(emulator: Emulator) -> None:
    """What was asked for is what Hopsworks has, its page is named, its job runs, and it can be removed."""
    with opening(emulator) as store:
        group = applied(store)
        store.write(group, candles(group, 6))
        page = store.create_monitoring(
            group,
            "a",
            name="watch_a",
            metric="max",
            threshold=0.25,
            window="2d",
            reference="1w2d",
            cron="0 0 6 ? * * *",
        )
        wanted = Monitoring("watch_a", "a", "max", 0.25, "2d", "1w2d", "0 0 6 ? * * *")

        assert store.monitorings(group) == [wanted]
        config = store._shared.session.store.get_feature_group(group.name, 1).get_feature_monitoring_configs("watch_a")
        assert page.endswith(f"/feature-monitoring/{config.id}")
        assert page.startswith(store.ui_url(group))
        config.run_once()
        store.delete_monitoring(group, "watch_a")
        assert store.monitorings(group) == []
        with pytest.raises(NotFound, match="watch_a"):
            store.delete_monitoring(group, "watch_a")


def test_a_monitoring_that_makes_no_sense(emulator: Emulator) -> None:
    """A taken name, an unknown feature, metric or window, and a threshold or schedule that is none are refused; nothing is made."""
    with opening(emulator) as store:
        group = applied(store)
        store.create_monitoring(group, "a")
        before = store.monitorings(group)
        with pytest.raises(DefinitionError, match="there already"):
            store.create_monitoring(group, "a")
        with pytest.raises(SchemaError, match="nope"):
            store.create_monitoring(group, "nope")
        for wrong, said in (
            ({"metric": "mode"}, "mode"),
            ({"window": "often"}, "often.*1w2d3h"),
            ({"reference": ""}, "reference"),
            ({"threshold": float("nan")}, "threshold"),
            ({"name": "Not a name"}, "name"),
            ({"cron": "0 12 * * *"}, "5 fields.*6 or 7"),
            ({"cron": "0 0 25 ? * *"}, "'25' is no Quartz hours.*0 to 23"),
        ):
            with pytest.raises(DefinitionError, match=said):
                store.create_monitoring(group, "a", **{"name": "other", **wrong})

        assert store.monitorings(group) == before


def test_the_command_monitor(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """``btcfs monitor`` creates, lists and deletes in the configured project, with the exit codes of every command."""
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    with opening(emulator) as store:
        group = applied(store)
    runner = CliRunner()

    def run(*words: str, code: int = 0, backend: str = "hopsworks") -> object:
        done = runner.invoke(main, ["--backend", backend, "monitor", *words, "--group", group.name, "--json"])
        assert done.exit_code == code, done.output
        return parsed(done) if code == 0 else done.stderr

    created = run("create", "a", "--metric", "std_dev", "--window", "1w")
    assert "/feature-monitoring/" in created["page"]
    assert run("list") == [attrs.asdict(Monitoring("btcfs_a_std_dev", "a", "std_dev", 0.5, "1w"))]
    assert "there already" in run("create", "a", "--metric", "std_dev", code=3)
    assert "6 or 7" in run("create", "a", "--name", "other", "--cron", "every noon", code=3)
    assert run("delete", "btcfs_a_std_dev") == {"group": group.title, "deleted": "btcfs_a_std_dev"}
    assert "btcfs_a_std_dev" in run("delete", "btcfs_a_std_dev", code=5)
    assert "runs no monitoring of its own" in run("list", code=2, backend="duckdb")
    assert not Path(".btcfs").joinpath("lock").exists()


def test_a_store_with_a_mirror_offers_what_its_primary_does(emulator: Emulator, tmp_path: Path) -> None:
    """Pages, statistics and monitoring of Hopsworks are there behind a mirror too."""
    from btcfs import connect
    from btcfs.fallback import FallbackStore

    primary = opening(emulator)
    with FallbackStore(primary, connect("memory"), tmp_path / "journal") as store:
        group = applied(store)
        store.create_monitoring(group, "a")

        assert [one.feature for one in store.monitorings(group)] == ["a"]
        assert store.ui_url(group) == primary.ui_url(group)
