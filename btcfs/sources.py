"""What a candle source is: given a symbol, an interval and a span of time, candles in order and a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    import pandas as pd


@attrs.frozen
class CandleRequest:
    """Which candles are wanted: those whose open time is in ``[start, end)`` and that closed by ``now``.

    ``last`` asks for the newest so many closed candles instead, where ``start`` is None.
    """

    symbol: str
    interval: str
    start: datetime | None = None
    end: datetime | None = None
    last: int | None = None
    now: datetime | None = None


@attrs.define
class SourceReport:
    """What a source saw, complete once its frames are used up; counts are rows.

    ``returned`` candles came out. ``forming`` were still open and were dropped, ``outside`` lay
    outside the span asked. ``retries`` counts requests sent again. ``layout`` names the recognised
    file layout or the exchange; ``notes`` are sentences for a person.
    """

    source: str
    layout: str = ""
    returned: int = 0
    forming: int = 0
    outside: int = 0
    retries: int = 0
    reordered: bool = False
    notes: list[str] = attrs.field(factory=list)

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.frozen(eq=False)
class Fetched:
    """Candle frames in time order, and the report that is complete when they are used up.

    Each frame has ``timestamp`` (open time, ``datetime64[us, UTC]``, ascending over all frames) and
    float64 ``open, high, low, close, volume`` (base currency), and ``quote_volume`` if the source
    has it. Values are as the source gave them: repairing and refusing is the validator's work, so
    duplicate rows stay.
    """

    frames: Iterable[pd.DataFrame]
    report: SourceReport


@runtime_checkable
class Source(Protocol):
    """Somewhere candles come from."""

    name: str

    def fetch(self, request: CandleRequest) -> Fetched:
        """The candles asked for, forming ones left out and counted.

        ConfigError if the source cannot know the symbol or interval; SchemaError if what it holds
        is not candles (naive times, text in numbers, mixed intervals, no such columns);
        StoreUnavailable if it cannot be reached after its retries.
        """


@attrs.frozen(eq=False)
class SourceKind:
    """A source as a plugin offers it: a name, and the function whose parameters are its options."""

    name: str
    open: Callable[..., Source]
    description: str = ""
