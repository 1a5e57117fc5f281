"""A copy whose source goes away while it is read from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import servers
from btcfs import connect
from btcfs.errors import StoreUnavailable
from btcfs.transfer.copying import copy_store
from moving import GROUP, filled, same_past
from repositories import all_in_postgres

pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")
pytest.importorskip("psycopg", reason="the extra btcfs[feast-postgres] is not installed")


@pytest.mark.slow
def test_a_server_killed_while_it_is_read(tmp_path: Path) -> None:
    """A source that dies stops the copy with how it goes on, the target holds nothing but the source's rows, and the rest comes later."""
    original = filled(connect("memory"))
    done = []
    with servers.mortal_postgres() as server, connect("duckdb", path=tmp_path / "target") as target:
        repository = all_in_postgres(tmp_path / "repo", server.port)
        with connect("feast", path=repository, timeout=10.0) as source:
            copy_store(original, source)

            def dies(rows: int) -> None:
                done.append(rows)
                if len(done) == 2:
                    server.kill()

            with pytest.raises(StoreUnavailable, match="both stores are whole. The same command goes on from there"):
                copy_store(source, target, ["mixed:1"], size=16, journal=tmp_path / "journal", progress=dies)
        held = target.read(GROUP)
        first = original.commits(GROUP)[0]
        written = original.changes(GROUP, first)
        both = held.merge(written, on=list(GROUP.primary_key), suffixes=("", "_written"))
        server.start()
        with connect("feast", path=repository, timeout=10.0) as source:
            rest = copy_store(source, target, ["mixed:1"], size=16, journal=tmp_path / "journal")

            assert same_past(original, source, [GROUP])
        assert 0 < len(held) < len(written)
        assert len(both) == len(held)
        pd.testing.assert_series_equal(both["volume"], both["volume_written"], check_names=False, check_exact=True)
        assert sum(done) + rest.rows >= sum(commit.rows or 0 for commit in original.commits(GROUP))
        assert same_past(original, target, [GROUP])
