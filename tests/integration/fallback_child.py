"""A process that writes to a store and its mirror and is killed at a chosen step."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import btcfs_duckdb
from btcfs.fallback import FallbackStore
from btcfs.store import FeatureStore
from btcfs.testing.backends.examples import candle_group, candles
from outages import Outage

GROUP = candle_group("a", "b", name="market")


def opened(folder: Path) -> FallbackStore:
    """Two embedded stores as a pair; the folder has them and the journal."""
    primary, mirror = (btcfs_duckdb.connect(folder / side) for side in ("primary", "mirror"))
    return FallbackStore(Killing(primary, "primary"), Killing(mirror, "mirror"), folder / "journal")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killing(Outage):
    """A store whose process dies before or after it writes, if the command line says so."""

    def __init__(self, store: FeatureStore, side: str) -> None:
        super().__init__(store)
        self.side = side

    def write(self, group: Any, rows: Any, **options: Any) -> Any:
        if armed() == f"{self.side} before":
            die()
        if armed() == f"{self.side} down":
            self.mode = "down"
        report = self._through("write", lambda: self.store.write(group, watched(self.side, rows), **options))
        if armed() == f"{self.side} after":
            die()
        return report


def watched(side: str, rows: Any) -> Any:
    for number, frame in enumerate(rows):
        if number and armed() == f"{side} within":
            die()
        yield frame


def armed() -> str:
    return sys.argv[2] if len(sys.argv) > 2 else ""


def frames() -> Any:
    whole = candles(GROUP, 6).assign(a=1.0)
    yield whole.iloc[:3]
    if armed() == "spooling":
        die()
    yield whole.iloc[3:]


if __name__ == "__main__":
    with opened(Path(sys.argv[1])) as store:
        if armed():
            store.write(GROUP, frames())
        else:
            store.apply(GROUP)
            store.write(GROUP, candles(GROUP, 4))
