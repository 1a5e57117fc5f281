"""How many calls it takes to copy a group into a Hopsworks project, known before one is made."""

from __future__ import annotations

from collections.abc import Mapping


def calls(rows: int, writes: int, *, new: bool) -> Mapping[str, int]:
    """Calls by kind, to write so many rows in so many writes and read each back once; ``new`` if the group is to be made.

    The two kinds of REST calls count against a month's budget. A write asks again and again whether its rows
    have arrived: that often on a cluster that answers at once, and more often on one that takes its time. A row
    goes to the log and to the online table, and the newest of a write once more.
    """
    return {
        "REST calls": 9 * writes + (9 if new else 0),
        "REST looks at running jobs": 8 * writes + (2 if new else 0),
        "offline queries": 3 * writes + 1,
        "SQL queries": 3 * writes + 6,
        "rows sent": 2 * rows + writes,
    }
