"""A store that answers from one backend and, off the request's path, compares with another."""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from btcfs.definitions import Definition, FeatureGroup, FeatureView
from btcfs.errors import BtcfsError, NotFound
from btcfs.store import Commit, FeatureStore, FeatureVector, Summary, WriteReport
from btcfs.transfer.judging import judge_rows, judge_vectors
from btcfs.transfer.tally import Tally

if TYPE_CHECKING:
    import pandas as pd

    from btcfs.transfer.comparing import Tolerance

_log = logging.getLogger(__name__)

MOST_ROWS = 200_000  # of all answers that wait together, so that the memory they hold is bounded

Check = Callable[[], None]


class ShadowStore:
    """A ``FeatureStore`` that is the primary to all who use it; the shadow is only asked the same and compared.

    Online vectors, point-in-time joins and reads of rows are compared, each after it was answered, by one
    thread of its own. At most ``waiting`` answers of 200,000 rows in all wait for that; a further one is dropped and counted, so the
    shadow costs the caller no time whether it is slow, broken or away. Writes and definitions go to the primary
    alone. ``tally`` counts; with ``report`` it is written to that file as JSON each ``seconds``, and at the end.
    A child process after a fork reads the primary alone.
    """

    def __init__(
        self, primary: FeatureStore, shadow: FeatureStore, *, tolerance: Tolerance | None = None, waiting: int = 1000,
        report: str | Path | None = None, seconds: float = 10.0,
    ) -> None:  # fmt: skip
        self.name = primary.name
        self.capabilities = primary.capabilities
        self.tally = Tally(primary.name, shadow.name)
        self._primary = primary
        self._shadow = shadow
        self._tolerance = tolerance
        self._report = None if report is None else Path(report)
        self._seconds = seconds
        self._queue: queue.Queue[Check | None] = queue.Queue(waiting)
        self._guard = threading.Lock()
        self._rows = 0
        self._process = os.getpid()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="btcfs-shadow", daemon=True)
        self._thread.start()

    def get_online_features(self, view: FeatureView, keys: Sequence[Mapping[str, Any]]) -> Sequence[FeatureVector]:
        asked = list(keys)

        def judged(answer: Any, error: NotFound | None, seconds: float) -> None:
            if error is None:
                judge_vectors(self.tally, self._shadow, view, asked, answer, self._tolerance, seconds)
            else:
                self._judge_absence(view.title, asked, lambda: self._shadow.get_online_features(view, asked))

        vectors: Sequence[FeatureVector] = self._answered(
            lambda: self._primary.get_online_features(view, asked), judged
        )
        return vectors

    def get_historical_features(
        self, view: FeatureView, spine: pd.DataFrame, *, as_of: datetime | None = None
    ) -> pd.DataFrame:
        given = spine.copy()

        def judged(answer: Any, error: NotFound | None, seconds: float) -> None:
            judge_rows(
                self.tally, view.title, answer, lambda: self._shadow.get_historical_features(view, given, as_of=as_of),
                view.features, None, self._tolerance, seconds,
            )  # fmt: skip

        return self._answered(lambda: self._primary.get_historical_features(view, spine, as_of=as_of), judged)

    def read(
        self, group: FeatureGroup, start: datetime | None = None, end: datetime | None = None, *,
        entity: Mapping[str, str] | None = None, columns: Sequence[str] | None = None, as_of: datetime | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        options: dict[str, Any] = {"entity": entity, "columns": columns, "as_of": as_of}
        chosen = tuple(group.columns if columns is None else columns)
        aligned = set(group.primary_key) <= set(chosen)

        def judged(answer: Any, error: NotFound | None, seconds: float) -> None:
            judge_rows(
                self.tally, group.title, answer, lambda: self._shadow.read(group, start, end, **options),
                [name for name in chosen if name not in group.primary_key], group.primary_key if aligned else None,
                self._tolerance, seconds,
            )  # fmt: skip

        return self._answered(lambda: self._primary.read(group, start, end, **options), judged)

    def apply(self, definition: FeatureGroup | FeatureView) -> None:
        self._primary.apply(definition)

    def definitions(self) -> Sequence[Definition]:
        return self._primary.definitions()

    def delete(self, definition: FeatureGroup | FeatureView, *, all_versions: bool = False) -> None:
        self._primary.delete(definition, all_versions=all_versions)

    def write(
        self, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame], *, commit: Commit | None = None
    ) -> WriteReport:
        return self._primary.write(group, rows, commit=commit)

    def commits(self, group: FeatureGroup) -> Sequence[Commit]:
        return self._primary.commits(group)

    def changes(
        self, group: FeatureGroup, commit: Commit, start: datetime | None = None, end: datetime | None = None
    ) -> pd.DataFrame:
        return self._primary.changes(group, commit, start, end)

    def summary(self, group: FeatureGroup, entity: Mapping[str, str] | None = None) -> Summary:
        return self._primary.summary(group, entity)

    def exclusive(self) -> AbstractContextManager[None]:
        return self._primary.exclusive()

    def drain(self, timeout: float = 10.0) -> bool:
        """Wait until all that waits is compared; whether it came to that within so many seconds."""
        until = time.monotonic() + timeout
        while self._queue.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.002)
        return not self._queue.unfinished_tasks

    def close(self) -> None:
        """Compare what waits, for at most a few seconds, write the report and close both stores."""
        if not self._closed:
            self._closed = True
            if os.getpid() == self._process:
                self.drain(5.0)
                self._stop()
            self._shadow.close()
        self._primary.close()

    def __enter__(self) -> ShadowStore:
        self._primary.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        """What the primary has beyond the protocol, such as ``change_token``."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._primary, name)

    def _answered(self, ask: Callable[[], Any], judged: Callable[[Any, NotFound | None, float], None]) -> Any:
        """The primary's answer, with a look at the shadow's put into the queue."""
        begun = time.perf_counter()
        try:
            answer = ask()
        except NotFound as exc:
            seconds, missing = time.perf_counter() - begun, exc
            self._put(lambda: judged(None, missing, seconds))
            raise
        seconds = time.perf_counter() - begun
        self._put(lambda: judged(answer, None, seconds), len(answer))
        return answer

    def _put(self, check: Check, rows: int = 1) -> None:
        if self._closed or os.getpid() != self._process:
            return
        with self._guard:
            fits = self._rows + rows <= MOST_ROWS
            self._rows += rows if fits else 0

        def checked() -> None:
            try:
                check()
            finally:
                with self._guard:
                    self._rows -= rows

        try:
            if not fits:
                raise queue.Full
            self._queue.put_nowait(checked)
        except queue.Full:
            self.tally.count("dropped")
            if fits:
                with self._guard:
                    self._rows -= rows

    def _judge_absence(self, where: str, keys: Sequence[Mapping[str, Any]], ask: Callable[[], Any]) -> None:
        try:
            ask()
        except NotFound:
            self.tally.count("compared")
        else:
            self.tally.count("extra", {"where": where, "keys": [str(dict(key)) for key in keys[:3]]})

    def _work(self) -> None:
        written = time.monotonic()
        while True:
            try:
                check = self._queue.get(timeout=self._seconds)
            except queue.Empty:
                check = _nothing
            try:
                if check is None:
                    return
                check()
            except BtcfsError as exc:
                self.tally.count("failed", {"error": f"{type(exc).__name__}: {exc}"})
            except Exception as exc:  # noqa: BLE001 - a shadow must never take its primary down; it is counted and logged
                _log.exception("the shadow %s failed in an unforeseen way", self._shadow.name)
                self.tally.count("failed", {"error": f"{type(exc).__name__}: {exc}"})
            finally:
                if check is not _nothing:
                    self._queue.task_done()
                if check is None or time.monotonic() - written >= self._seconds:
                    self._write()
                    written = time.monotonic()

    def _stop(self) -> None:
        while True:  # whatever still waits is given up, so that the thread ends
            try:
                self._queue.put_nowait(None)
                break
            except queue.Full:
                self._queue.get_nowait()
                self._queue.task_done()
                self.tally.count("dropped")
        self._thread.join(5.0)

    def _write(self) -> None:
        if self._report is None:
            return
        draft = self._report.with_name(self._report.name + ".new")
        try:
            draft.write_text(json.dumps(self.tally.to_dict(), indent=2, default=str) + "\n", encoding="utf-8")
            os.replace(draft, self._report)
        except OSError as exc:
            _log.warning("the report of the shadow could not be written to %s: %s", self._report, exc)


def _nothing() -> None:
    """Stands for a wait in which nothing came."""
