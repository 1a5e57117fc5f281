"""What was to be done on two stores and is not done on both yet, in files that survive a crash.

One entry is one file ``000000000042.<state>.json``; the rows of a write lie beside it. The states are
``open`` (under way, or its process died), ``both``, ``primary`` and ``mirror`` (what still has to be done there)
and ``refused`` (a store would not take it; it is kept for a person).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from btcfs import durable
from btcfs.definitions import Definition, FeatureGroup, FeatureView, definition_from_dict
from btcfs.errors import ConfigError, StoreUnavailable
from btcfs.fallback.spool import spool
from btcfs.instants import from_micros, now, parse_instant, to_micros
from btcfs.store import Commit

if TYPE_CHECKING:
    import pandas as pd

PRIMARY, MIRROR = "primary", "mirror"
OPEN, BOTH, REFUSED = "open", "both", "refused"

Ref = tuple[str, int]


@attrs.frozen
class Entry:
    """One act: ``apply``, ``delete`` or ``write`` of a definition. ``began`` is when it was asked for."""

    number: int
    state: str
    kind: str
    definition: Definition
    began: datetime
    commit: Commit | None = None
    rows: int = 0
    all_versions: bool = False
    why: str = ""

    @property
    def sides(self) -> tuple[str, ...]:
        """Where it is still to be done."""
        return {OPEN: (PRIMARY, MIRROR), BOTH: (PRIMARY, MIRROR), REFUSED: ()}.get(self.state, (self.state,))

    @property
    def refs(self) -> tuple[Ref, ...]:
        """The groups that it concerns."""
        return refs_of(self.definition)

    @property
    def title(self) -> str:
        what = f"{self.rows:,} rows of " if self.kind == "write" else ""
        return f"{self.number} ({self.kind} {what}{self.definition.title})"

    def to_dict(self) -> dict[str, Any]:
        """For a person or a program: what, since when, where it is missing, why."""
        return {
            "number": self.number,
            "state": self.state,
            "kind": self.kind,
            "definition": self.definition.title,
            "rows": self.rows,
            "commit": None if self.commit is None else self.commit.id,
            "began": self.began.isoformat(),
            "why": self.why,
        }


class Journal:
    """The entries in a folder, for several processes. Whoever adds or changes one holds ``turn``.

    ``target`` says which two stores it belongs to; ConfigError if it is the journal of others.
    """

    def __init__(self, folder: Path, target: str) -> None:
        self.folder = folder
        self._known: dict[str, Entry] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._claim(target)
        except OSError as exc:
            raise StoreUnavailable(f"cannot write the journal in {folder}: {exc}") from exc

    def turn(self, patience: float) -> AbstractContextManager[None]:
        """The only writer's place; StoreBusy if it is not free within so many seconds."""
        return durable.locked(self.folder / "writer.lock", patience)

    def entries(self) -> list[Entry]:
        """All of them, oldest first."""
        names = [name for name in os.listdir(self.folder) if name.endswith(".json")]
        if not names:
            return []
        found = [self._entry(name) for name in sorted(names)]
        self._known = {name: self._known[name] for name in names if name in self._known}
        return [entry for entry in found if entry is not None]

    def missing(self, side: str, refs: Iterable[Ref] | None) -> list[Entry]:
        """What that side lacks of these groups, or of the definitions where ``refs`` is None.

        What is under way counts as missing in the mirror, which comes last, but not in the primary.
        """
        wanted = None if refs is None else set(refs)
        return [
            entry
            for entry in self.entries()
            if side in entry.sides
            and not (side == PRIMARY and entry.state == OPEN)
            and (entry.kind != "write" if wanted is None else not wanted.isdisjoint(entry.refs))
        ]

    def write(self, group: FeatureGroup, rows: pd.DataFrame | Iterable[pd.DataFrame], commit: Commit) -> Entry:
        """A new entry under way for rows, which are on the disk when this returns."""
        number = self._next()
        try:
            count = spool(self.rows_of(number), group, rows)
            return self._put(Entry(number, OPEN, "write", group, now(), commit, count))
        except BaseException as exc:  # rows may come from a generator, which may raise anything; half of them are none
            self.rows_of(number).unlink(missing_ok=True)
            if isinstance(exc, OSError):
                raise StoreUnavailable(f"cannot write the journal in {self.folder}: {exc}") from exc
            raise

    def act(self, kind: str, definition: Definition, *, all_versions: bool = False) -> Entry:
        """A new entry under way for a definition."""
        return self._put(Entry(self._next(), OPEN, kind, definition, now(), all_versions=all_versions))

    def change(self, entry: Entry, **changes: Any) -> Entry:
        """The entry with other content, on the disk when this returns."""
        changed = attrs.evolve(entry, **changes)
        self._put(changed, self._path(entry))
        if changed.state != entry.state:
            self._path(entry).replace(self._path(changed))
            durable.sync_folder(self.folder)
        return changed

    def remove(self, entry: Entry) -> None:
        """It is done, or it never happened."""
        self._path(entry).unlink(missing_ok=True)
        durable.sync_folder(self.folder)
        self.rows_of(entry.number).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Forget rows without an entry, which a crash left before anything was written. Only in ``turn``."""
        self._known.clear()
        numbers = {entry.number for entry in self.entries()}
        for path in self.folder.glob("*.rows"):
            if int(path.stem) not in numbers:
                path.unlink(missing_ok=True)
        for path in self.folder.glob("*.json.new"):
            path.unlink(missing_ok=True)

    def rows_of(self, number: int) -> Path:
        """Where the rows of that entry are."""
        return self.folder / f"{number:012d}.rows"

    def last_time(self) -> int:
        """The newest knowledge time that was given out here, in microseconds; 0 if none was, or it was forgotten."""
        try:
            return int((self.folder / "clock").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def note_time(self, micros: int) -> None:
        """Remember a knowledge time. A crash may forget it: a store that knows better refuses an older one."""
        new = self.folder / "clock.new"
        new.write_text(str(micros))
        new.replace(self.folder / "clock")

    def _claim(self, target: str) -> None:
        file = self.folder / "target"
        try:
            held = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            held = ""
        if not held:
            durable.replace(file, target.encode())
        elif held != target:
            raise ConfigError(
                f"the journal in {self.folder} and its mirror belong to {held}, and are opened for {target}; give each "
                f"pair of stores a journal and a mirror of its own"
            )

    def _next(self) -> int:
        return max((entry.number for entry in self.entries()), default=0) + 1

    def _put(self, entry: Entry, path: Path | None = None) -> Entry:
        content = {
            "kind": entry.kind,
            "definition": entry.definition.to_dict(),
            "began": entry.began.isoformat(),
            "commit": None if entry.commit is None else [entry.commit.id, to_micros(entry.commit.committed_at)],
            "rows": entry.rows,
            "all_versions": entry.all_versions,
            "why": entry.why,
        }
        path = self._path(entry) if path is None else path
        self._known.pop(path.name, None)
        try:
            durable.replace(path, json.dumps(content).encode())
        except OSError as exc:
            raise StoreUnavailable(f"cannot write the journal in {self.folder}: {exc}") from exc
        return entry

    def _path(self, entry: Entry) -> Path:
        return self.folder / _name(entry)

    def _entry(self, name: str) -> Entry | None:
        """The entry of that file, None if somebody has just completed it."""
        known = self._known.get(name)
        if known is not None:
            return known
        number, state, _ = name.split(".")
        try:
            content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        commit = content.pop("commit")
        entry = Entry(
            int(number),
            state,
            content.pop("kind"),
            definition_from_dict(content.pop("definition")),
            parse_instant(content.pop("began")),
            None if commit is None else Commit(commit[0], from_micros(commit[1])),
            **content,
        )
        self._known[name] = entry
        return entry


def refs_of(definition: Definition) -> tuple[Ref, ...]:
    """The groups that a definition is, or is made of."""
    return definition.groups if isinstance(definition, FeatureView) else (definition.ref,)


def _name(entry: Entry) -> str:
    return f"{entry.number:012d}.{entry.state}.json"
