"""From what a source fetched to candles that may be stored: everything validated before anything is written."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pandas as pd

from btcfs.instants import now
from btcfs.pipeline.candles import CandleArrays
from btcfs.pipeline.findings import ValidationReport
from btcfs.pipeline.quarantine import RejectedFile
from btcfs.pipeline.validate import Validator
from btcfs.sources import CandleRequest, Fetched, SourceReport


@attrs.frozen(eq=False)
class Accepted:
    """Validated candles, what the source and the validator reported, and where rejected rows went."""

    candles: CandleArrays
    source: SourceReport
    validation: ValidationReport
    quarantine: Path | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """The source's notes and the validator's findings that stopped nothing, as sentences."""
        findings = self.validation.findings if self.quarantine is not None else self.validation.warnings
        return (*self.source.notes, *map(str, findings))


def accept(
    fetched: Fetched,
    request: CandleRequest,
    *,
    repair_volume: bool = False,
    quarantine: Path | None = None,
    write_quarantine: bool = True,
) -> Accepted:
    """Take in all of a source's candles, 48 bytes each.

    CandlesRefused (a SchemaError) with the whole report if a rule of severity error was broken and
    there is no ``quarantine``; with one, rejected rows are appended to that CSV file, each with its
    reason, unless ``write_quarantine`` is off.
    """
    aside = None if quarantine is None else RejectedFile(quarantine) if write_quarantine else _unwritten
    validator = Validator(request.interval, request.now or now(), repair_volume=repair_volume, quarantine=aside)
    parts = [CandleArrays.from_frame(frame, request.interval) for frame in validator.accepted(fetched.frames)]
    return Accepted(_concatenated(parts, request.interval), fetched.report, validator.report(), quarantine)


def _concatenated(parts: list[CandleArrays], interval: str) -> CandleArrays:
    if len(parts) < 2:
        return parts[0] if parts else CandleArrays.none(interval)
    columns = (np.concatenate(column) for column in zip(*(part.columns for part in parts), strict=True))
    return CandleArrays(*columns, step=parts[0].step)


def _unwritten(rows: pd.DataFrame) -> None:
    """What a dry run does with rejected rows: they are counted only."""
