"""Copying a million rows from DuckDB to DuckDB, and to Feast in a Postgres and back, beside bare bulk loads; and comparing them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import bench_store
from bench_store import GROUP, bare_insert, clocked, pieces

import btcfs_feast
from btcfs import frames
from btcfs.transfer.copying import copy_store
from btcfs.transfer.diffing import diff_stores
from btcfs_duckdb import connect
from btcfs_feast.naming import COMMIT, CREATED, SEQ
from btcfs_feast.postgres_copy import put, quoted
from btcfs_feast.shelf import signed, to_arrow

sys.path.insert(0, str(Path(__file__).parents[1]))
import servers
from repositories import all_in_postgres

MEMORY = """
import sys
from pathlib import Path
from btcfs.transfer.copying import copy_store
from btcfs_duckdb import connect
root = Path(sys.argv[1])

def peak():  # of this program alone; the usual call counts its parent too
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024

with connect(root / "source") as source, connect(root / "measured") as target:
    before = peak()
    copy_store(source, target)
    print(peak() - before)
"""


def main(scale: float = 1.0, runs: int = 3) -> list[tuple[str, float, str]]:
    return [*within_duckdb(scale, runs), *through_postgres(scale)]


def through_postgres(scale: float) -> list[tuple[str, float, str]]:
    """DuckDB to Feast and on to DuckDB, beside what the slower side needs alone: one COPY into the table that Feast reads.

    That COPY is psycopg's of the same rows in Postgres's binary format, the fastest that there is; encoding them is part
    of it. It goes into an empty table made like the one that the copy fills, with its key and index, and fills every
    column: a whole table in one transaction, nothing read from elsewhere, read back or put online.
    """
    count = int(1_000_000 * scale)
    frame = frames.conform(GROUP, bench_store.rows(count))
    with tempfile.TemporaryDirectory() as folder, servers.postgres() as port:
        root = Path(folder)
        all_in_postgres(root / "repo", port)
        with (
            connect(root / "source") as source,
            btcfs_feast.connect(root / "repo") as between,
            connect(root / "back") as back,
        ):
            source.apply(GROUP)
            source.write(GROUP, pieces(frame, 10_000))
            between.apply(GROUP)
            bare = bare_copy(root / "repo", frame)
            there = clocked(lambda: copy_store(source, between, journal=root / "there"))
            again = clocked(lambda: copy_store(between, back, journal=root / "again"))
            assert diff_stores(source, back).equal
            assert list(source.commits(GROUP)) == list(back.commits(GROUP))
    print(f"{count:,} rows x 48: bare COPY {bare:.2f} s, DuckDB to Feast {there:.2f} s, Feast to DuckDB {again:.2f} s")
    return [
        ("DuckDB to Feast in Postgres / bare COPY into its table", there / bare, "<= 2"),
        ("Feast in Postgres to DuckDB / bare COPY into its table", again / bare, "<= 2"),
    ]


def bare_copy(repository: Path, frame: Any) -> float:
    import psycopg

    table = signed(to_arrow(GROUP, frame), 1, f"{1:012d}-{0:08x}", 0)
    dtypes = {**GROUP.dtypes, SEQ: "int64", COMMIT: "string", CREATED: "timestamp"}
    offline = json.loads((repository / "feature_store.yaml").read_text())["offline_store"]
    with psycopg.connect(
        host=offline["host"], port=offline["port"], user=offline["user"], dbname=offline["database"], autocommit=True
    ) as connection:
        filled = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'btcfs_bitcoin%' ORDER BY length(tablename)"
        (name,) = connection.execute(filled).fetchone() or ()
        connection.execute(f"CREATE TABLE bare (LIKE {quoted(name)} INCLUDING ALL)")
        with connection.cursor() as cursor:
            put(cursor, "bare", table.slice(0, 1), dtypes)  # the first COPY of a connection prepares more than rows
            seconds = clocked(lambda: put(cursor, "bare", table.slice(1), dtypes))
            connection.execute("DROP TABLE bare")
    return seconds


def within_duckdb(scale: float, runs: int) -> list[tuple[str, float, str]]:
    """A source of one commit, copied in pieces; every load in turns with the others, medians."""
    count = int(1_000_000 * scale)
    bare, own, copies, compared = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        frame = frames.conform(GROUP, bench_store.rows(count))
        with connect(root / "source") as source:
            source.apply(GROUP)
            source.write(GROUP, pieces(frame, 10_000))
            for run in range(runs):
                bare.append(bare_insert(frame))
                with connect(root / f"own{run}") as target:
                    target.apply(GROUP)
                    own.append(clocked(lambda target=target: target.write(GROUP, pieces(frame, 10_000))))
                with connect(root / f"copy{run}") as target:
                    copies.append(
                        clocked(lambda target=target, run=run: copy_store(source, target, journal=root / f"j{run}"))
                    )
                    compared.append(clocked(lambda target=target: diff_stores(source, target)))
                    assert list(target.commits(GROUP)) == list(source.commits(GROUP))
                    assert diff_stores(source, target).equal
        used = float(
            subprocess.run([sys.executable, "-c", MEMORY, str(root)], capture_output=True, text=True, check=True).stdout
        )
    size = count * 51 * 8 / 2**20
    print(
        f"{count:,} rows x 48: bare insert {median(bare):.2f} s, own bulk load {median(own):.2f} s, "
        f"verified copy {median(copies):.2f} s, diff {median(compared):.2f} s; copy took {used:.0f} MB beside {size:.0f} MB of rows"
    )
    return [
        ("verified copy / the target's own bulk load", median(copies) / median(own), "<= 2"),
        ("verified copy / bare DuckDB insert with key", median(copies) / median(bare), "shown"),
        ("diff / verified copy", median(compared) / median(copies), "shown"),
        (
            "memory of a copy / its rows",
            used / size,
            "shown; DuckDB takes up to 384 MB for each side, whatever the rows",
        ),
    ]


if __name__ == "__main__":
    for name, ratio, bar in main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0):
        print(f"{name:50} {ratio:6.2f}   {bar}")
