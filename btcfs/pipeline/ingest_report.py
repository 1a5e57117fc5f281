"""What an ingest tells while it runs, and what it reports at the end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import attrs

from btcfs.store import WriteReport


@attrs.frozen
class Notice:
    """One sentence of progress: which of the four steps, and how far it is if that can be counted."""

    step: int
    kind: Literal["start", "progress", "done"]
    text: str
    done: int | None = None
    total: int | None = None
    detail: Sequence[str] = ()


@attrs.frozen
class IngestReport:
    """What one ingest did; counts are rows.

    ``fetched`` candles were taken, warm-up included; ``inserted``, ``updated`` and ``unchanged``
    count feature rows, ``new_candles`` and ``restated_candles`` the raw layer. ``start`` and ``end``
    are the first and last open time computed, None if nothing was. The features were computed by
    ``engine`` in so many ``partitions``, for which ``overlap`` candles were looked at again. A dry run
    counts what it would have written and has no ``commit_id``.
    """

    mode: str
    symbol: str
    interval: str
    group: str
    version: int
    features: int
    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    repaired: int = 0
    new_candles: int = 0
    restated_candles: int = 0
    commit_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    warmup_rows: int = 0
    batch_size: int | None = None
    batches: int = 0
    engine: str = "local"
    partitions: int = 0
    overlap: int = 0
    dry_run: bool = False
    warnings: tuple[str, ...] = ()
    quarantine: str | None = None
    source: dict[str, Any] = attrs.field(factory=dict)
    validation: dict[str, Any] = attrs.field(factory=dict)

    def written(self, report: WriteReport, warnings: Sequence[str] = ()) -> IngestReport:
        """With the counts of the features' commit, or of its preview."""
        return attrs.evolve(
            self,
            inserted=report.inserted,
            updated=report.updated,
            unchanged=report.unchanged,
            commit_id=report.commit_id,
            warnings=(*self.warnings, *warnings),
        )

    @property
    def changed(self) -> int:
        return self.inserted + self.updated

    def to_dict(self) -> dict[str, Any]:
        content = attrs.asdict(self)
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in content.items()}
