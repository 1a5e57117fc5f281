"""The program that ``LogProcess`` runs: batches of predictions come in, and each is written to the store and answered for."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from btcfs.connection import connect
from btcfs.errors import BtcfsError
from btcfs.serving.log_process import FRAME
from btcfs.serving.prediction_rows import PASSING, written

_NICE = 10


def main() -> int:
    """0 when the input ends, which is the sign to go."""
    batches, answers = sys.stdin.buffer, sys.stdout.buffer
    _stand_back()
    given = json.loads(batches.readline())
    with connect(given["backend"], **given["options"]) as store:
        _say(answers, {"ready": True})
        while len(head := batches.read(FRAME.size)) == FRAME.size:
            rows, size = FRAME.unpack(head)
            batch = batches.read(size)
            if len(batch) < size:
                break  # the server went in the middle of it
            try:
                written(store, batch)
            except BtcfsError as exc:
                passes = isinstance(exc, PASSING)
                _say(answers, {"error": f"{type(exc).__name__}: {exc}", "passes": passes})
            else:
                _say(answers, {"written": rows})
    return 0


def _stand_back() -> None:
    """Requests go first; what is logged can wait for a processor."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    # Linux may weigh sessions before the processes in them (sched_autogroup), and this process leads one.
    autogroup = Path("/proc/self/autogroup")
    with suppress(OSError):  # it may not be there, or not be written to: then what is above is all that can be done
        if autogroup.exists():
            autogroup.write_text(str(_NICE))


def _say(answers: IO[bytes], what: dict[str, Any]) -> None:
    answers.write(json.dumps(what).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
