"""Where in a store's folder each thing lies."""

from __future__ import annotations

from pathlib import Path

import attrs

from btcfs.errors import StoreUnavailable


@attrs.frozen
class Places:
    """The files of one store.

    The online table is derived from ``offline.duckdb`` and may be built anew beside a running
    reader: each build is a generation with its own file names, and ``online.current`` names the
    one in use.
    """

    root: Path

    @property
    def offline(self) -> Path:
        return self.root / "offline.duckdb"

    @property
    def offline_log(self) -> Path:
        """DuckDB's write-ahead log, there only after a crash or while a writer is at work."""
        return self.root / "offline.duckdb.wal"

    @property
    def lock(self) -> Path:
        return self.root / "writer.lock"

    @property
    def holder(self) -> Path:
        return self.root / "writer.json"

    @property
    def counter(self) -> Path:
        return self.root / "commits.count"

    @property
    def pointer(self) -> Path:
        return self.root / "online.current"

    def online(self, generation: int) -> Path:
        return self.root / f"online-{generation:06d}.sqlite"

    def generations(self) -> list[int]:
        """The generations that have a file, in use or not."""
        return sorted(int(path.stem.split("-")[1]) for path in self.root.glob("online-??????.sqlite"))

    def files_of(self, generation: int) -> list[Path]:
        """Every file of a generation: the table, its logs and its segments."""
        return sorted(self.root.glob(f"online-{generation:06d}*"))

    def create(self) -> None:
        """Make the folder. StoreUnavailable if that cannot be done or something else has its name."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreUnavailable(
                f"cannot make the folder {self.root} for the store: {exc}. Name a folder that this user may "
                f"write to, with --path, BTCFS_DUCKDB_PATH or btcfs.connect('duckdb', path=...)"
            ) from exc
