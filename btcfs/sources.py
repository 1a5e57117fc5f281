"""What a candle source is: given a symbol, an interval and a span of time, candles in order and a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs

from btcfs.definitions import parse_interval
from btcfs.errors import ConfigError
from btcfs.instants import now, to_micros

if TYPE_CHECKING:
    import pandas as pd


@attrs.frozen
class CandleRequest:
    """Which candles are wanted: those whose open time is in ``[start, end)`` and that closed by ``now``.

    An end that is None is open. ``last`` asks for the newest so many closed candles instead of a
    ``start``, counted back from ``end`` or from ``now``. ``now`` is the present instant unless given.
    SchemaError for a naive time; ConfigError for a span that ends before it starts, for ``last``
    below 1, and for ``start`` and ``last`` together.
    """

    symbol: str
    interval: str
    start: datetime | None = None
    end: datetime | None = None
    last: int | None = None
    now: datetime | None = None

    def __attrs_post_init__(self) -> None:
        parse_interval(self.interval)
        start, end = (None if t is None else to_micros(t) for t in (self.start, self.end))
        if self.now is not None:
            to_micros(self.now)
        if start is not None and end is not None and start > end:
            raise ConfigError(f"the span asked ends {self.end}, before it starts {self.start}")
        if self.last is not None and (self.last < 1 or start is not None):
            raise ConfigError(
                f"last={self.last} with start={self.start}: ask for at least 1 candle, and for 'last' or 'start', not both"
            )

    @property
    def step(self) -> timedelta:
        """The length of one candle."""
        return parse_interval(self.interval)

    @property
    def step_micros(self) -> int:
        return self.step // timedelta(microseconds=1)

    def settled(self) -> CandleRequest:
        """The same request with ``now`` filled in, so that everything it decides, it decides for one instant."""
        return self if self.now is not None else attrs.evolve(self, now=now())


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

    def restart(self) -> None:
        """Set everything counted back to nothing, for frames that are walked through once more."""
        self.returned = self.forming = self.outside = self.retries = 0
        self.reordered = False
        self.notes.clear()


@attrs.frozen(eq=False)
class Fetched:
    """Candle frames in time order, and the report that is complete when they are used up.

    Each frame has ``timestamp`` (open time, ``datetime64[us, UTC]``, ascending over all frames) and
    float64 ``open, high, low, close, volume`` (base currency), and ``quote_volume`` if the source
    has it. Values are as the source gave them: repairing and refusing is the validator's work, so
    duplicate rows stay. ``frames`` may be walked through again and gives the same candles again;
    the report is that of the latest walk.
    """

    frames: Iterable[pd.DataFrame]
    report: SourceReport


@runtime_checkable
class Source(Protocol):
    """Somewhere candles come from."""

    @property
    def name(self) -> str: ...

    def fetch(self, request: CandleRequest) -> Fetched:
        """The candles asked for, forming ones left out and counted.

        Raised here or while the frames are walked through: ConfigError if the source cannot know
        the symbol or interval; SchemaError if what it holds is not candles of that symbol and
        interval (naive times, text in numbers, mixed intervals, no such columns); StoreUnavailable
        if it cannot be reached after its retries.
        """


@attrs.frozen(eq=False)
class SourceKind:
    """A source as a plugin offers it: a name, and the function whose parameters are its options."""

    name: str
    open: Callable[..., Source]
    description: str = ""
