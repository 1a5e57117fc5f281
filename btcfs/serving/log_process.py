"""A process beside the server that writes the predictions of a busy one, so that requests keep the interpreter to themselves."""

from __future__ import annotations

import json
import logging
import select
import struct
import subprocess
import sys
from threading import Lock
from time import monotonic
from typing import Any

from btcfs.errors import SchemaError, StoreBusy
from btcfs.store import FeatureStore

FRAME = struct.Struct("<IQ")  # rows and bytes of the batch that follows
START_SECONDS = 60.0
ANSWER_SECONDS = 120.0

_log = logging.getLogger(__name__)


class LogProcess:
    """Started by the first large batch and ended after ``idle`` seconds without one.

    It opens the store anew, by what the store says of itself: ``elsewhere()``, optional like
    ``change_token``, gives the options of ``btcfs.connect``. A store without it, and a system that
    starts no process, is written to in this process.
    """

    def __init__(self, store: FeatureStore, idle: float) -> None:
        self._elsewhere = getattr(store, "elsewhere", None)
        self._backend = store.name
        self._idle = idle
        self._process: subprocess.Popen[bytes] | None = None
        self._used = 0.0
        self._guard = Lock()

    def write(self, rows: int, batch: bytes, *, start: bool) -> bool:
        """Whether the process wrote the batch; False if there is none and it is not to be started.

        A batch may have been written although this raises: writing it again changes nothing.
        StoreBusy if the store was, or the process went; SchemaError for any other refusal.
        """
        if start:
            self._used = monotonic()
        process = self._process
        if process is None or process.poll() is not None:
            if process is not None:
                self.end()
            if not start or self._elsewhere is None or not self._begun():
                return False
            process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(FRAME.pack(rows, len(batch)))
            process.stdin.write(batch)
            process.stdin.flush()
            answer = self._answer(process, ANSWER_SECONDS)
        except (OSError, ValueError) as exc:
            self.end()
            raise StoreBusy(f"the process that writes predictions went: {exc}") from exc
        if answer.get("passes"):
            raise StoreBusy(str(answer["error"]))
        if "error" in answer:
            raise SchemaError(str(answer["error"]))
        return True

    def rest(self) -> None:
        """End the process if it had nothing much to do for long."""
        if self._process is not None and monotonic() - self._used > self._idle:
            self.end()

    def end(self) -> None:
        """Let the process finish what it was given, and end it."""
        with self._guard:
            process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.close()  # its sign to go
        except OSError:
            _log.debug("the process that writes predictions went before it was told to")
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _begun(self) -> bool:
        assert self._elsewhere is not None
        given = {"backend": self._backend, "options": dict(self._elsewhere())}
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "btcfs.serving.log_writer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Ctrl-C is for the server, which then gives its last batch and says when to go.
                start_new_session=True,
            )
        except OSError as exc:
            return self._without(exc)
        self._process = process
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(given).encode() + b"\n")
            process.stdin.flush()
            self._answer(process, START_SECONDS)
        except (OSError, ValueError) as exc:
            self.end()
            return self._without(exc)
        return True

    def _without(self, exc: Exception) -> bool:
        self._elsewhere = None
        _log.warning("predictions are written by the serving process itself, no other could be started: %s", exc)
        return False

    def _answer(self, process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
        """One line of the process as JSON. OSError or ValueError if there is none in time."""
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        if not ready:
            raise OSError(f"no answer within {seconds:g} s")
        answer = json.loads(process.stdout.readline())
        if not isinstance(answer, dict):
            raise ValueError(f"an answer of another kind: {answer!r}")
        return answer
