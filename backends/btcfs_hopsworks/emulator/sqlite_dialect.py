"""Queries in MySQL's dialect, as drivers send them, in SQLite's."""

from __future__ import annotations

import re

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "Z": "\x1a", "b": "\b"}
_LITERAL = re.compile(r"`[^`]*`|(?P<introducer>_binary\s*)?'(?P<text>(?:[^'\\]|\\.|'')*)'", re.DOTALL)
_KEYS = re.compile(r"\bIN\s*(?=\(\s*\()", re.IGNORECASE)
_TOKEN = re.compile(r"'(?:[^']|'')*'|`[^`]*`|[(),]|[^'`(),]+")


def translated(sql: str) -> tuple[str, list[str]]:
    """The same query in SQLite's words, and its parameters: texts that SQLite cannot read from a query."""
    parameters: list[str] = []
    if "\\" in sql or "_binary" in sql:
        sql = _LITERAL.sub(lambda found: _literal(found, parameters), sql)
    return _with_keys(sql), parameters


def _literal(found: re.Match[str], parameters: list[str]) -> str:
    if found["text"] is None:
        return found[0]
    text = found["text"].replace("''", "'")
    text = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), text, flags=re.DOTALL)
    if found["introducer"]:
        return "x'" + text.encode("utf-8", "surrogateescape").hex() + "'"
    if "\0" in text:
        parameters.append(text)
        return "?"
    return "'" + text.replace("'", "''") + "'"


def _with_keys(sql: str) -> str:
    """With lists of keys of several columns written so that SQLite looks them up."""
    found = _KEYS.search(sql)
    if found is None:
        return sql
    end = _closing(sql, found.end())
    return f"{sql[: found.end()]}{_rows(sql[found.end() + 1 : end])}{_with_keys(sql[end + 1 :])}"


def _closing(sql: str, opening: int) -> int:
    """Where the bracket that opens there is closed."""
    depth = 0
    for token in _TOKEN.finditer(sql, opening):
        depth += (token[0] == "(") - (token[0] == ")")
        if depth == 0:
            return token.start()
    return len(sql)


def _rows(keys: str) -> str:
    """``('a', 1), ('b', 2)`` as a subquery. Without the casts SQLite would read the whole table for it."""
    first = _TOKEN.findall(keys[keys.index("(") : _closing(keys, keys.index("(")) + 1])[1:-1]
    kinds = [_kind(token.strip()) for token in first if token != "," and token.strip()]
    columns = ", ".join(f"CAST(column{place} AS {kind})" for place, kind in enumerate(kinds, 1))
    return f"(SELECT {columns} FROM (VALUES {keys}))"


def _kind(literal: str) -> str:
    if literal.startswith(("'", '"', "?")):
        return "TEXT"
    return "INTEGER" if re.fullmatch(r"-?\d+", literal) else "NUMERIC"
