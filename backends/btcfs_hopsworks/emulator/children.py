"""Server programs that the emulator starts for itself, which never outlive it."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

_PR_SET_PDEATHSIG = 1
_PAUSE = 0.02


@attrs.frozen
class Child:
    """A running program, whose output is in a file."""

    process: subprocess.Popen[bytes]
    output: Path

    def wait_until(self, ready: Callable[[], bool], timeout: float = 30.0) -> None:
        """Returns once ``ready`` says so. ChildProcessError with the end of the output if it stopped or is too slow."""
        until = time.monotonic() + timeout
        while not ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                ended = f"ended with {self.process.returncode}" if self.process.returncode else "did not get ready"
                said = self.output.read_text(errors="replace")[-2000:]
                raise ChildProcessError(f"{self.process.args!r} {ended}: {said}")
            time.sleep(_PAUSE)

    def kill(self) -> None:
        """Ends a program that has nothing to put in order."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ends the program, with force if it has not gone after some seconds."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(command: Sequence[str], output: Path) -> Child:
    """Starts a program that the kernel ends when the thread that called this is gone, on Linux."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        )
    return Child(process, output)


def _die_with_parent() -> Callable[[], None]:
    # Loaded before the fork: the child of a process with threads may do almost nothing.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
