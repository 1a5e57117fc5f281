"""Which column of a candle table is what: the known layouts, recognised by the names of their columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from btcfs.errors import SchemaError

BINANCE_COLUMNS = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
CCXT_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")

_TIMES = ("timestamp", "open_time", "unix", "time", "datetime", "date")
_QUOTES = ("quote_volume", "quote_asset_volume", "volume_quote", "volumeto", "turnover")
_BASES = ("volume", "base_volume", "volume_base", "volumefrom", "vol")
_PRICES = ("open", "high", "low", "close")


@attrs.frozen
class Layout:
    """A layout's name, and for each of our columns the file's: ``timestamp``, the prices, volumes and the symbol."""

    name: str
    columns: dict[str, str]

    @property
    def symbol(self) -> str | None:
        return self.columns.get("symbol")


def headerless(cells: Sequence[str]) -> tuple[str, ...]:
    """The column names of a table without a header, told by the number of its columns. SchemaError if unknown."""
    for names in (BINANCE_COLUMNS, CCXT_COLUMNS):
        if len(cells) == len(names):
            return names
    raise SchemaError(
        f"has no header and {len(cells)} columns; without a header, 12 columns are Binance klines and 6 are ccxt rows "
        f"(milliseconds, open, high, low, close, volume); add a header line with the names of the columns"
    )


def recognise(names: Sequence[str], symbol: str, volume: str | None) -> Layout:
    """The layout of a table with these column names.

    ``volume`` says what a lone volume column is in: ``base``, ``quote`` or, if there is none and
    zero shall stand for it, ``none``; by default it is in base currency, but Yahoo's in quote.
    SchemaError if a needed column is missing or stands there twice.
    """
    known: dict[str, str] = {}
    for name in names:
        key = _key(name)
        if key in known and key in (*_TIMES, *_PRICES, *_BASES, *_QUOTES, "symbol"):
            raise SchemaError(f"has two columns that could be {key}: {known[key]!r} and {name!r}; keep one of them")
        known.setdefault(key, name)
    kind = _kind(known)
    columns = {name: known[name] for name in _PRICES if name in known}
    columns["timestamp"] = _first(known, ("unix", *_TIMES)) or ""
    if kind == "CryptoDataDownload":
        base, _, quote = symbol.lower().partition("-")
        volumes = {"volume": known.get(f"volume_{base}", ""), "quote_volume": known.get(f"volume_{quote}", "")}
        columns["symbol"] = known["symbol"]
    else:
        volumes = _volumes(known, volume or ("quote" if kind == "Yahoo" else "base"))
        if "symbol" in known:
            columns["symbol"] = known["symbol"]
    columns.update({name: column for name, column in volumes.items() if column})
    lacking = [name for name in ("timestamp", *_PRICES) if not columns.get(name)]
    if not ({"volume", "quote_volume"} & set(columns)) and volume != "none":
        lacking.append("volume")
    if lacking:
        raise SchemaError(_unrecognised(names, lacking, kind, symbol))
    return Layout(kind, columns)


def _kind(known: dict[str, str]) -> str:
    if "symbol" in known and any(key.startswith("volume_") for key in known) and ("unix" in known or "date" in known):
        return "CryptoDataDownload"
    if {"open_time", "close_time"} <= set(known):
        return "Binance klines"
    if "adj_close" in known:
        return "Yahoo"
    return "generic"


def _volumes(known: dict[str, str], unit: str) -> dict[str, str]:
    base, quote = _first(known, _BASES), _first(known, _QUOTES)
    if unit == "quote" and not quote:
        base, quote = "", base
    return {"volume": base, "quote_volume": quote}


def _first(known: dict[str, str], candidates: Sequence[str]) -> str:
    return next((known[name] for name in candidates if name in known), "")


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def _unrecognised(names: Sequence[str], lacking: Sequence[str], kind: str, symbol: str) -> str:
    found = ", ".join(name or "(no name)" for name in names)
    hint = {
        "CryptoDataDownload": f"; its volumes are expected to be named for the currencies of {symbol}",
        "generic": "; a table without volume is read with the option volume='none', which puts zero for it",
    }.get(kind, "")
    return (
        f"has no column for {', '.join(lacking)} (layout {kind}; columns found: {found}); expected a time "
        f"({', '.join(_TIMES)}), open, high, low, close and volume, in any case and order{hint}"
    )
