"""Candles from a CSV or Parquet file, whatever common layout it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pyarrow.compute as pc

from btcfs.errors import ConfigError, SchemaError, StoreUnavailable
from btcfs.frames import from_micros_array, micros
from btcfs.instants import to_micros
from btcfs.pipeline.spacing import Spacing
from btcfs.sources import CandleRequest, Fetched, SourceReport
from btcfs_sources.cells import instants, numbers
from btcfs_sources.layouts import Layout, recognise
from btcfs_sources.ordering import in_time_order
from btcfs_sources.tables import Table, open_table
from btcfs_sources.window import wanted

_NUMBERS = ("open", "high", "low", "close", "volume", "quote_volume")


@attrs.frozen
class FileSource:
    """A file of candles, read anew for each request in memory that does not grow with it.

    ``{symbol}`` in the path stands for the symbol asked, so that many markets may lie in a file each.
    ``timezone`` is the zone of times that state none. The newest candle of a file is left out as
    unfinished unless ``last`` is ``keep`` or ``complete_until`` (an instant, RFC 3339) says until
    when its candles are complete. ``volume`` tells what a lone volume column is in: ``base`` or
    ``quote`` currency (base by default, quote for Yahoo); ``none`` puts zero where there is none.
    """

    name: str
    path: Path = attrs.field(converter=Path)
    timezone: str | None = None
    complete_until: str | None = None
    last: str = "drop"
    volume: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.last not in ("drop", "keep"):
            raise ConfigError(f"last {self.last!r} is neither 'drop' nor 'keep' (the newest candle of the file)")
        if self.volume not in (None, "base", "quote", "none"):
            raise ConfigError(f"volume {self.volume!r} is not 'base', 'quote' or 'none'")

    def fetch(self, request: CandleRequest) -> Fetched:
        """As ``Source.fetch`` says. The layout is recognised here, the rows are read with the frames."""
        symbol = request.symbol.replace("/", "-")
        chosen = attrs.evolve(self, path=str(self.path).replace("{symbol}", symbol))
        table = open_table(self.name, chosen.path)
        try:
            layout = recognise(table.names, symbol, self.volume)
        except SchemaError as exc:
            raise SchemaError(f"{chosen.path} {exc}") from exc
        report = SourceReport(self.name, layout=layout.name)
        walk = _Walk(chosen, request.settled(), table, layout, report, _state(chosen.path))
        return Fetched(walk, walk.report)


@attrs.frozen(eq=False)
class _Walk:
    """The frames of one request; each walk through them reads the file again."""

    source: FileSource
    request: CandleRequest
    table: Table
    layout: Layout
    report: SourceReport
    state: tuple[int, int]

    def __iter__(self) -> Iterator[pd.DataFrame]:
        self.report.restart()
        source = self.source
        if _state(source.path) != self.state:
            raise SchemaError(f"{source.path} has changed since it was opened; fetch again")
        if "volume" not in self.layout.columns and "quote_volume" in self.layout.columns:
            self.report.notes.append(
                f"{self.layout.columns['quote_volume']!r} of the layout {self.layout.name} is taken to be in quote "
                f"currency, and volume is it over close; say otherwise with the option volume"
            )
        ordered = self._checked(in_time_order(self._frames(), self.report, str(source.path)))
        until = None if source.complete_until is None else to_micros(source.complete_until)
        yield from wanted(ordered, self.request, self.report, until, keep_newest=source.last == "keep")

    def _frames(self) -> Iterator[pd.DataFrame]:
        """The file's rows in its own order, in our columns."""
        columns = self.layout.columns
        rows = 0
        for batch in self.table.batches(list(dict.fromkeys(columns.values()))):
            named = {ours: batch.column(batch.schema.get_field_index(theirs)) for ours, theirs in columns.items()}
            yield self._frame(named, lambda row, rows=rows: self.table.where(rows + row))
            rows += batch.num_rows
        if rows == 0:
            raise SchemaError(f"{self.source.path} has a header but no candle")

    def _frame(self, batch: dict[str, Any], where: Any) -> pd.DataFrame:
        names = self.layout.columns
        if "symbol" in batch:
            self._refuse_other_symbols(batch["symbol"], where)
        times = instants(batch["timestamp"], names["timestamp"], self.source.timezone, where)
        values = {name: numbers(batch[name], names[name], where) for name in _NUMBERS if name in batch}
        if "volume" not in values:
            values["volume"] = np.zeros(len(times))
            if "quote_volume" in values:
                with np.errstate(divide="ignore", invalid="ignore"):
                    values["volume"] = values["quote_volume"] / values["close"]
        ordered = {name: values[name] for name in _NUMBERS if name in values}
        return pd.DataFrame({"timestamp": from_micros_array(times), **ordered})

    def _refuse_other_symbols(self, column: Any, where: Any) -> None:
        other = [symbol for symbol in pc.unique(column).to_pylist() if _bare(symbol) != _bare(self.request.symbol)]
        if other:
            row = pc.index(column, other[0]).as_py()
            raise SchemaError(f"{where(row)}: candles of {other[0]!r}, expected {self.request.symbol!r}")

    def _checked(self, frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """The frames, whose candles must be of the interval asked."""
        spacing = Spacing(self.request.step_micros)
        for frame in frames:
            spacing.see(micros(frame["timestamp"]))
            problem = spacing.problem()
            if problem is not None:
                raise SchemaError(f"{self.source.path}: {problem}; ask for the interval that the file has")
            yield frame


def _state(path: Path) -> tuple[int, int]:
    """What tells that a file was written again: its size and when it was last written."""
    try:
        stat = path.stat()
    except OSError as exc:
        raise StoreUnavailable(f"cannot read {path}: {exc}") from exc
    return stat.st_size, stat.st_mtime_ns


def _bare(symbol: str | None) -> str:
    return re.sub(r"[^A-Z0-9]", "", (symbol or "").upper())
