"""A server's log that keeps predictions until it is killed: python spool_child.py FOLDER NAME..."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from btcfs import memory
from btcfs.instants import now, to_micros
from btcfs.serving.prediction_log import Logged, PredictionLog


def logged(name: str) -> Logged:
    """A prediction whose vector is of ten numbers."""
    at = to_micros(now())
    return Logged(
        name, at, "BTC-USD", at, at, 1, "v", "view", 1, "f", "cache", None, 0.5, 0.1, 0.02, bytes(80), None
    )  # fmt: skip


def main(folder: str, *names: str) -> None:
    """Say how many predictions are on the disk once all waiting ones are, and go on until somebody ends it."""
    log = PredictionLog(memory.connect(), interval=86_400.0, spool=Path(folder))
    log.start()
    for name in names:
        log.add(logged(name))
    assert log.spool is not None
    while log.spool.rows < log.waiting:
        time.sleep(0.01)
    print(log.spool.rows, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
