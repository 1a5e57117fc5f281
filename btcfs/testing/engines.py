"""The conformance kit for engines: subclass ``EngineTests`` and give it a fixture ``engine``."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from btcfs.engines import Engine, in_order
from btcfs.pipeline.partitions import compute_partition, partitions
from btcfs.pipeline.plan import plan
from btcfs.pipeline.spread import computed
from btcfs.plugins import installed_plugins
from btcfs.testing.engine_tasks import doubled, noise, raising, told
from btcfs.testing.synthetic import Market

LARGE = 3_000_000  # numbers; 24 MB, as much as the features of a large partition


class EngineTests:
    """The laws of an engine. ``engine`` is open, runs on this machine, and is closed by the fixture; one may serve all tests."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError("give EngineTests a fixture named 'engine'")

    def test_it_says_what_it_is(self, engine: Engine) -> None:
        """An engine has a name and at least one worker and one task in flight."""
        assert isinstance(engine, Engine)
        assert engine.name
        assert engine.workers >= 1
        assert engine.in_flight >= 1

    def test_results_are_those_of_their_tasks(self, engine: Engine) -> None:
        """Each result belongs to its task, also if others are taken first."""
        pending = [engine.submit(doubled, number) for number in range(6)]

        assert [pending[number].result() for number in (5, 0, 3)] == [10, 0, 6]

    def test_large_results_keep_their_bits(self, engine: Engine) -> None:
        """A result comes back whole and bit for bit, however large, odd kinds of NaN included."""
        assert engine.submit(noise, LARGE).result().tobytes() == noise(LARGE).tobytes()

    def test_submit_does_not_wait(self, engine: Engine, tmp_path: Path) -> None:
        """A task may be submitted before anything that it waits for has happened."""
        pending = engine.submit(told, str(tmp_path / "word"))
        (tmp_path / "new").write_text("go")
        (tmp_path / "new").rename(tmp_path / "word")

        assert pending.result() == "go"

    def test_what_a_task_raises_reaches_whoever_takes_its_result(self, engine: Engine) -> None:
        """An error comes out of ``result``, with its message, and the engine goes on."""
        pending = engine.submit(raising, "planted fault")

        with pytest.raises(Exception, match="planted fault"):
            pending.result()
        assert engine.submit(doubled, 4).result() == 8

    def test_cancelling_harms_nothing(self, engine: Engine) -> None:
        """A result may be given up before or after it is there, twice too."""
        done = engine.submit(doubled, 1)
        assert done.result() == 2
        for pending in (done, engine.submit(doubled, 2)):
            pending.cancel()
            pending.cancel()

        assert engine.submit(doubled, 3).result() == 6

    def test_tasks_are_drawn_as_results_are_taken(self, engine: Engine) -> None:
        """Of tasks without end, no more are in flight than the engine says."""
        drawn = count()
        results = in_order(engine, doubled, drawn)

        taken = [next(results)[1].result() for _ in range(5)]
        ahead = next(drawn) - len(taken)
        results.close()

        assert taken == [0, 2, 4, 6, 8]
        assert ahead <= engine.in_flight - 1

    def test_features_are_those_of_this_process(self, engine: Engine) -> None:
        """The installed indicators give the same bits on the workers as here, for every partition, in order."""
        plugins = installed_plugins()
        made = plan(plugins.indicators(), "1h")
        market = Market(seed=5)
        parts = list(partitions(made, "BTC-USD", market.candles(9_000), most=2_000))

        blocks = list(computed(made, plugins, parts, engine))

        assert len(parts) > 3
        for part, block in zip(parts, blocks, strict=True):
            here = compute_partition(made, part)
            assert block.timestamps.tolist() == here.timestamps.tolist()
            assert [c.tobytes() for c in block.columns] == [c.tobytes() for c in here.columns]
