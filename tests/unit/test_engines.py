"""Engines by name: which there are, how they are opened and configured, and what is said when one cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from btcfs.config import load
from btcfs.connection import open_engine
from btcfs.engines import bounded, in_order
from btcfs.errors import ConfigError
from btcfs.pipeline.compute import compute
from btcfs.pipeline.partitions import compute_partition, partitions
from btcfs.pipeline.plan import plan
from btcfs.plugins import installed_plugins
from btcfs.testing.synthetic import Market
from distributions import install, run


def test_local_is_no_engine() -> None:
    """This process needs no engine, and has no options."""
    assert open_engine("local", {}) is None
    with pytest.raises(ConfigError, match="engine 'local' has no option 'workers'"):
        open_engine("local", {"workers": 2})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sparc", {}, "no engine named 'sparc'; installed: local, processes, ray, spark; did you mean spark"),
        ("processes", {"worker": 2}, "no option 'worker'; it has workers, in_flight; did you mean workers"),
        ("processes", {"workers": "two"}, "option 'workers' of engine 'processes' is 'two', expected int"),
        ("processes", {"workers": 0}, "workers is 0"),
        ("processes", {"in_flight": "0"}, "in_flight is 0"),
    ],
)
def test_what_cannot_be_opened_is_named(name: str, options: dict[str, Any], message: str) -> None:
    """A wrong name, option or value is refused, with what there is instead."""
    with pytest.raises(ConfigError, match=message):
        open_engine(name, options)


@pytest.mark.parametrize(("name", "module"), [("spark", "pyspark"), ("ray", "ray")])
def test_a_missing_extra_is_told_in_one_line(name: str, module: str, tmp_path: Path) -> None:
    """Without its library an engine says which extra to install."""
    code = f"""
import sys
sys.modules[{module!r}] = None
from btcfs.cli import main
main(["ingest", "backfill", "--source", "sample", "--start", "2022-01-01", "--end", "2022-02-01", "--engine", {name!r}])
"""
    done = run(code, tmp_path)

    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert f"pip install 'btcfs[{name}]'" in done.stderr


def test_spark_without_java_says_so(tmp_path: Path) -> None:
    """PySpark without Java is told before anything is started."""
    pytest.importorskip("pyspark", reason="the extra 'spark' is not installed")
    code = "from btcfs.connection import open_engine; open_engine('spark', {})"

    done = run(code, tmp_path, PATH=str(tmp_path), JAVA_HOME="")

    assert "ConfigError: engine 'spark' needs Java" in done.stderr


def test_an_engine_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    """A stranger's engine that fails on import is told with its distribution and cause; the name is listed."""
    install(tmp_path, "btcfs-odd", "btcfs_odd", "import nothing_of_that_name", btcfs__engines="odd=btcfs_odd:open_odd")

    done = run("from btcfs.connection import open_engine; open_engine('odd', {})", tmp_path)

    assert "engine 'odd' from btcfs-odd" in done.stderr
    assert "nothing_of_that_name" in done.stderr


def test_the_engine_is_a_setting(tmp_path: Path) -> None:
    """A file names the engine and its options, a variable overrides one of them."""
    (tmp_path / "btcfs.toml").write_text(
        '[engine]\nname = "spark"\nmaster = "local[2]"\nconf = { "spark.ui.enabled" = "false" }\n'
    )

    config = load(environ={"BTCFS_ENGINE_MASTER": "yarn"}, cwd=tmp_path)

    assert config.engine == "spark"
    assert config.engine_options == {"master": "yarn", "conf": {"spark.ui.enabled": "false"}}


class Gone:
    """An engine whose workers went: it takes no task."""

    name, workers, in_flight = "gone", 1, 2

    def submit(self, function: Any, task: Any) -> Any:
        raise BrokenPipeError("no worker is left")

    def close(self) -> None: ...


def test_an_engine_that_takes_no_task_breaks_its_promise() -> None:
    """What submit raises comes with its task where the result is waited for, as any loss does."""
    (task, pending), *_ = in_order(Gone(), str, ["first", "second"])

    assert task == "first"
    with pytest.raises(BrokenPipeError, match="no worker is left"):
        pending.result()


def test_results_in_flight_are_bounded() -> None:
    """Two for each worker and no more than sixteen, unless asked."""
    assert [bounded(workers, None) for workers in (1, 2, 8, 500)] == [2, 4, 16, 16]
    assert bounded(2, 40) == 40


@pytest.mark.parametrize("most", [1, 700, 2_160, 5_000, 65_536])
def test_partitions_of_any_size_give_the_bits_of_the_whole(most: int) -> None:
    """However small or large the partitions, they cover each row once and give what one pass gives."""
    made = plan(installed_plugins().indicators(), "1h")
    whole = Market(seed=9).candles(8_000)
    there = np.random.default_rng(4).random(8_000) > 0.01
    candles = type(whole)(*(column[there] for column in whole.columns), step=whole.step)
    expected = compute(made, candles)

    parts = list(partitions(made, "BTC-USD", candles, most=most))
    blocks = [compute_partition(made, part) for part in parts]

    assert all(part.overlap <= made.warmup for part in parts)
    assert all(len(part) <= max(most, made.segment) for part in parts)
    assert np.concatenate([block.timestamps for block in blocks]).tolist() == expected.timestamps.tolist()
    for number, column in enumerate(expected.columns):
        assert np.concatenate([block.columns[number] for block in blocks]).tobytes() == column.tobytes()
