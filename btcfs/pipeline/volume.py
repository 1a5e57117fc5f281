"""Volumes in the wrong unit: putting swapped columns right, and finding jumps where there is only one column."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from btcfs.errors import SchemaError
from btcfs.pipeline.rules import Floats, Ints, swapped

_BLOCK = 15  # odd, so that the median of a block that is half one unit, half another is a value of one of them
_FACTOR = 100.0


def repair_volume(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The frame with base and quote volume put right on each row where they are swapped, and how many.

    Decided row by row: quote over base is a price within the candle's own range. Rows without
    volume are left alone. The input is not changed. SchemaError without a quote volume.
    """
    missing = [name for name in ("low", "high", "volume", "quote_volume") if name not in frame.columns]
    if missing:
        raise SchemaError(f"volumes cannot be repaired without {', '.join(missing)}; it takes both volumes and prices")
    wrong = swapped({name: frame[name].to_numpy(dtype="float64") for name in ("low", "high", "volume", "quote_volume")})
    if not wrong.any():
        return frame, 0
    base, quote = frame["volume"].to_numpy(), frame["quote_volume"].to_numpy()
    repaired = frame.assign(volume=np.where(wrong, quote, base), quote_volume=np.where(wrong, base, quote))
    return repaired, int(wrong.sum())


class VolumeLevel:
    """The usual volume of the latest rows, to notice when it jumps by a factor that no trading explains."""

    def __init__(self) -> None:
        self._times: Ints = np.zeros(0, dtype="int64")
        self._logs: Floats = np.zeros(0)

    def jumps(self, times: Ints, volumes: Floats) -> list[tuple[int, float]]:
        """Where, among the rows so far, the volume has come to another level: the open time and the factor.

        Compares the medians of neighbouring blocks of 15 candles with volume; a factor below 100 is none.
        """
        traded = volumes > 0
        self._times = np.concatenate([self._times, times[traded]])
        self._logs = np.concatenate([self._logs, np.log(volumes[traded])])
        whole = len(self._logs) // _BLOCK
        if whole < 2:
            return []
        medians = np.median(self._logs[: whole * _BLOCK].reshape(whole, _BLOCK), axis=1)
        found = [self._jump(block) for block in np.flatnonzero(np.abs(np.diff(medians)) > math.log(_FACTOR)).tolist()]
        kept = (whole - 1) * _BLOCK
        self._times, self._logs = self._times[kept:], self._logs[kept:]
        return found

    def _jump(self, block: int) -> tuple[int, float]:
        """The step between two blocks is where the volume changes most from one candle to the next."""
        start = block * _BLOCK
        logs = self._logs[start : start + 2 * _BLOCK]
        at = int(np.abs(np.diff(logs)).argmax()) + 1
        return int(self._times[start + at]), math.exp(np.median(logs[at:]) - np.median(logs[:at]))
