"""Memory stores with one bug each in the values they keep, and the law that catches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from btcfs.definitions import FeatureGroup
from btcfs.instants import UTC
from btcfs.memory import MemoryStore


def listed(rows: Any) -> list[pd.DataFrame]:
    return [rows] if isinstance(rows, pd.DataFrame) else list(rows)


class ChangesRows(MemoryStore):
    """The start of several bugs: rows are altered on their way in."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        raise NotImplementedError

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        if isinstance(rows, pd.DataFrame):
            return super().write(group, self.altered(group, rows.copy()))
        return super().write(group, (self.altered(group, frame.copy()) for frame in rows))

    def each(self, group: FeatureGroup, frame: pd.DataFrame, dtype: str, change: Any) -> pd.DataFrame:
        for name in [f.name for f in group.features if f.dtype == dtype and f.name in frame.columns]:
            frame[name] = change(frame[name])
        return frame


class RoundsToFloat32(ChangesRows):
    """Floats lose half their digits."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        with np.errstate(over="ignore"):
            return self.each(
                group, frame, "float64", lambda c: c.where(c.abs() > 1e38, c.astype("float32").astype("float64"))
            )


class FillsWithZero(ChangesRows):
    """NaN becomes zero."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        return self.each(group, frame, "float64", lambda column: column.fillna(0.0))


class FlushesDenormals(ChangesRows):
    """Numbers near zero become zero."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        return self.each(group, frame, "float64", lambda column: column.where(~(column.abs() < 1e-300), 0.0))


class PassesIntegersThroughFloats(ChangesRows):
    """Whole numbers beyond 2**53 are rounded."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        return self.each(group, frame, "int64", lambda c: c.clip(-(2**62), 2**62).astype("float64").astype("int64"))


class CutsToMilliseconds(ChangesRows):
    """Times lose their microseconds."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        return self.each(group, frame, "timestamp", lambda column: column.dt.floor("ms"))


class StoresEmptyTexts(ChangesRows):
    """A missing string becomes an empty one."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        return self.each(group, frame, "string", lambda column: column.where(column.notna(), ""))


class GuessesTheZone(ChangesRows):
    """A naive time is taken for UTC."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        for name in frame.columns:
            if frame[name].dtype.kind == "M" and frame[name].dt.tz is None:
                frame[name] = frame[name].dt.tz_localize(UTC)
        return frame


class DropsFormingCandles(ChangesRows):
    """A row of the future is left out without a word, and the rest is written."""

    def altered(self, group: FeatureGroup, frame: pd.DataFrame) -> pd.DataFrame:
        if group.event_time not in frame.columns or not isinstance(frame[group.event_time].dtype, pd.DatetimeTZDtype):
            return frame
        return frame[~(frame[group.event_time] > pd.Timestamp.now("UTC"))]


class MutatesItsInput(MemoryStore):
    """The event time is filled into the caller's frame."""

    def write(self, group: FeatureGroup, rows: Any) -> Any:
        frames = listed(rows)
        report = super().write(group, frames)
        for frame in frames:
            if group.event_time not in frame.columns:
                frame[group.event_time] = frame["timestamp"] + group.step
        return report


CAUGHT_BY: Mapping[type[MemoryStore], str] = {
    RoundsToFloat32: "test_floats_keep_their_bits",
    FillsWithZero: "test_floats_keep_their_bits",
    FlushesDenormals: "test_floats_keep_their_bits",
    PassesIntegersThroughFloats: "test_other_types_keep_their_values",
    CutsToMilliseconds: "test_other_types_keep_their_values",
    StoresEmptyTexts: "test_other_types_keep_their_values",
    GuessesTheZone: "test_rows_that_do_not_fit_are_refused",
    DropsFormingCandles: "test_a_forming_candle_is_refused",
    MutatesItsInput: "test_frames_given_are_not_touched",
}
