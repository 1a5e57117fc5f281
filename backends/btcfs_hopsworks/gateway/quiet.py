"""Keeps what the client does to its process out of the user's: prints, progress bars, logging and warnings set up anew."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_NOISY = ("hopsworks", "hopsworks_common", "hsfs", "hsml")


def imported() -> ModuleType:
    """The ``hopsworks`` module. Importing it changes neither the root logger nor how warnings look. ImportError if absent."""
    root = logging.getLogger()
    handlers, level, formatter = list(root.handlers), root.level, warnings.formatwarning
    try:
        module = importlib.import_module("hopsworks")
        for name in ("hsfs.feature", "hsfs.engine.python", "hsfs.core.arrow_flight_client"):
            importlib.import_module(name)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        warnings.formatwarning = formatter
    for name in _NOISY:
        # The client logs each failure with its traceback and then raises it; the caller gets the exception.
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return module


class Silence:
    """While it is entered, what the threads of the gateway print is dropped; others print as ever."""

    def __init__(self) -> None:
        self._threads: set[int] = set()
        self._lock = threading.Lock()
        self._depth = 0
        self._streams: tuple[Any, Any] | None = None

    def add(self, thread: int) -> None:
        self._threads.add(thread)

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._streams = (sys.stdout, sys.stderr)
                sys.stdout = _Filter(sys.stdout, self._threads)
                sys.stderr = _Filter(sys.stderr, self._threads)
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    self._restore()

    def _restore(self) -> None:
        assert self._streams is not None
        out, err = self._streams
        # Someone else, such as a test's capture, may have replaced them meanwhile; theirs stay.
        if isinstance(sys.stdout, _Filter):
            sys.stdout = out
        if isinstance(sys.stderr, _Filter):
            sys.stderr = err
        self._streams = None


class _Filter:
    def __init__(self, stream: Any, dropped: set[int]) -> None:
        self._stream = stream
        self._dropped = dropped

    def write(self, text: str) -> int:
        if threading.get_ident() in self._dropped:
            return len(text)
        return int(self._stream.write(text))

    def flush(self) -> None:
        if threading.get_ident() not in self._dropped:
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
