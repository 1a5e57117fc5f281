"""The kit for engines on those that are shipped; on Spark and Ray where their extras are installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from btcfs.engines import Engine
from btcfs.processes import Processes
from btcfs.testing import EngineTests
from btcfs.testing.engine_tasks import doubled
from spread_engines import OPTIONS, opened


def _module_fixture(name: str) -> Any:
    @pytest.fixture(scope="module", name=name)
    def engine() -> Iterator[Engine]:
        with opened(name) as engine:
            yield engine

    return engine


processes, spark, ray = map(_module_fixture, OPTIONS)


class TestProcessesEngine(EngineTests):
    @pytest.fixture
    def engine(self, processes: Engine) -> Engine:
        return processes


class TestSparkEngine(EngineTests):
    @pytest.fixture
    def engine(self, spark: Engine) -> Engine:
        return spark


class TestRayEngine(EngineTests):
    @pytest.fixture
    def engine(self, ray: Engine) -> Engine:
        return ray


@pytest.mark.parametrize("name", OPTIONS)
def test_closing_gives_up_what_was_not_taken(name: str) -> None:
    """An engine is closed in good order while results wait, and can be opened again in the same program."""
    for _ in range(2):
        with opened(name) as engine:
            pending = [engine.submit(doubled, number) for number in range(6)]
            taken = pending[0].result()

        assert taken == 0


def test_processes_have_the_workers_asked() -> None:
    """The number of workers and the results in flight are the options'."""
    engine = Processes(workers=3, in_flight=5)
    try:
        assert (engine.workers, engine.in_flight) == (3, 5)
    finally:
        engine.close()
