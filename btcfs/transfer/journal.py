"""The journal of a copy: what was done and verified, line by line, in a file that a kill at any moment leaves usable."""

from __future__ import annotations

import json
import os
import re
import zlib
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from btcfs import durable
from btcfs.errors import ConfigError, StoreUnavailable

FORMAT = 1
_TORN = re.compile(rb"[0-9a-f]{0,8}( \{.*|\Z)", re.DOTALL)


class Journal:
    """An append-only file, one JSON record to a line, each after the checksum of its text.

    A record is on the disk when ``add`` returns. A last line that was torn by a crash counts as
    never written and is cut off. ``copy`` says between which stores; ConfigError if the file is of
    another copy, or no journal at all. Without a path nothing is kept.
    """

    def __init__(self, path: Path | None, copy: dict[str, Any]) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        self._file: FileIO | None = None
        begin = {"kind": "begin", "format": FORMAT, **copy}
        if path is not None:
            try:
                self._open(path)
            except OSError as exc:
                raise StoreUnavailable(f"cannot write the journal {path}: {exc}") from exc
        if not self.records:
            self._first = begin
        elif self.records[0] != begin:
            self.close()
            raise ConfigError(
                f"{path} is the journal of another copy ({json.dumps(self.records[0])}), not of "
                f"{json.dumps(begin)}; name another file with --journal"
            )
        else:
            self._first = {}

    def add(self, kind: str, **content: Any) -> None:
        """Append a record. StoreUnavailable if it cannot be written."""
        begin, self._first = self._first, {}
        for record in ([begin] if begin else []) + [{"kind": kind, **content}]:
            self.records.append(record)
            if self._file is not None:
                try:
                    self._write(self._file, record)
                except OSError as exc:
                    raise StoreUnavailable(
                        f"cannot write the journal {self.path}: {exc}; make room and run the same again"
                    ) from exc

    def of(self, kind: str, **content: Any) -> list[dict[str, Any]]:
        """The records of a kind that have this content, oldest first."""
        wanted = {"kind": kind, **content}.items()
        return [record for record in self.records if wanted <= _hashable(record).items()]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            if not self.records and self.path is not None:
                self.path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a buffer: what a full disk refused is not tried again when the file is closed.
        self._file = path.open("a+b", buffering=0)
        self._file.seek(0)
        whole, line = 0, b""
        for line in self._file:
            record = _parsed(line)
            if record is None:
                break
            self.records.append(record)
            whole += len(line)
            line = b""
        if self._file.read() or _TORN.match(line) is None:
            self._file.close()
            raise ConfigError(f"{path} is no journal of btcfs copy, or is damaged; name another file with --journal")
        self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)

    @staticmethod
    def _write(file: FileIO, record: dict[str, Any]) -> None:
        text = json.dumps(record, separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        while line:
            line = line[file.write(line) :]
        durable.sync(file)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The record in a line, None if it is torn."""
    sum_, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or sum_ != b"%08x" % zlib.crc32(text):
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def _hashable(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if not isinstance(value, (list, dict))}
