"""The rules of copying: nothing lost, nothing twice, refused before anything is written, and resumed where it stopped."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from btcfs import connect
from btcfs.errors import CheckFailed, ConfigError, DefinitionError, NotFound, StoreUnavailable, Unsupported
from btcfs.memory import Contents, MemoryStore
from btcfs.store import Capability, Commit, FeatureStore
from btcfs.transfer.copying import copy_store, plan_copy
from btcfs.transfer.plan import ForecastsCalls
from moving import GROUP, HOUR, NEWER, NOTES, START, VIEW, Forgetful, Full, filled, notes, rows, same_past


@pytest.fixture
def source() -> FeatureStore:
    return filled(connect("memory"))


@pytest.mark.parametrize("size", [7, 16, 100_000])
@pytest.mark.parametrize("backend", ["memory", "duckdb"])
def test_a_copy_has_the_same_past(source: FeatureStore, tmp_path: Path, backend: str, size: int) -> None:
    """Definitions, every version of every row and its knowledge time are the same in the copy, in pieces of any size."""
    options: dict[str, Any] = {"path": tmp_path} if backend == "duckdb" else {}
    with connect(backend, **options) as target:
        report = copy_store(source, target, size=size)

        assert list(target.definitions()) == list(source.definitions())
        assert same_past(source, target)
        assert report.rows == 120 + 20 + 1 + 24 + 3 + 2
        assert [group.commits for group in report.groups] == [3, 1, 2]
        assert report.notes == ()


def test_a_second_copy_does_nothing_and_a_later_one_only_what_is_new(source: FeatureStore, tmp_path: Path) -> None:
    """With its journal or without it, a copy that is repeated writes nothing but what came since."""
    target = connect("memory")
    for journal in (tmp_path / "journal", None):
        copy_store(source, target, journal=journal)
        assert copy_store(source, target, journal=journal).rows == 0
        source.write(GROUP, rows(2, first=80 + (journal is None)))

        report = copy_store(source, target, journal=journal)

        assert same_past(source, target)
        assert report.rows in (4, 2)


def test_a_choice_of_groups(source: FeatureStore) -> None:
    """Chosen groups come with the views over them alone; a name without a version means all versions."""
    target = connect("memory")
    copy_store(source, target, ["notes"])
    assert target.definitions() == [NOTES]
    copy_store(source, target, ["mixed:1"])
    assert target.definitions() == [GROUP, NOTES, VIEW]
    copy_store(source, target, ["mixed"])
    assert target.definitions() == [GROUP, NEWER, NOTES, VIEW]
    with pytest.raises(NotFound, match="candles"):
        copy_store(source, target, ["candles"])


def test_other_data_is_refused_before_anything_is_written(source: FeatureStore, tmp_path: Path) -> None:
    """A target whose group has rows of its own is left as it was, also in the groups that would have fitted."""
    target = connect("memory")
    target.apply(NOTES)
    target.write(NOTES, notes(1))
    for act in (copy_store, plan_copy):
        with pytest.raises(CheckFailed, match=r"already holds other data in notes v1.*--group"):
            act(source, target, journal=tmp_path / "journal")

    assert target.definitions() == [NOTES]
    assert len(target.read(NOTES)) == 1
    assert not (tmp_path / "journal").exists()


def test_another_definition_of_one_name_is_refused(source: FeatureStore) -> None:
    """A target with another definition of a name and version is refused with the differences."""
    target = connect("memory")
    target.apply(type(NOTES)("notes", 1, [*NOTES.features[:1]], primary_key=("name",)))

    with pytest.raises(DefinitionError, match="score"):
        copy_store(source, target)
    assert len(target.definitions()) == 1


def test_a_changed_copy_is_noticed_without_its_journal(source: FeatureStore) -> None:
    """A commit that has the right name and time but other values is other data."""
    target = connect("memory")
    target.apply(NOTES)
    first = source.commits(NOTES)[0]
    target.write(NOTES, source.changes(NOTES, first).assign(score=[1.0, 1.0, 9.0]), commit=first)

    with pytest.raises(CheckFailed, match=r"score is 9\.0 at .*note-2.*in the source 1\.0"):
        copy_store(source, target)


def test_a_target_that_was_emptied_is_noticed(source: FeatureStore, tmp_path: Path) -> None:
    """A journal that knows of commits which the target lacks is not believed."""
    copy_store(source, connect("memory"), journal=tmp_path / "journal")

    emptied = connect("memory")
    emptied.apply(NOTES)
    with pytest.raises(CheckFailed, match="not the one that was written"):
        copy_store(source, emptied, journal=tmp_path / "journal")


@pytest.mark.parametrize("journaled", [True, False])
@pytest.mark.parametrize("room", range(0, 25, 4))
def test_a_disk_that_fills_up_half_way(source: FeatureStore, tmp_path: Path, room: int, journaled: bool) -> None:
    """A target that is full stops the copy with what is written whole; with room made, the same call completes it."""
    target = Full(room)
    journal = tmp_path / "journal" if journaled else None
    with pytest.raises(StoreUnavailable, match=r"no space left.*goes on"):
        copy_store(source, target, journal=journal, size=8)
    target.room = 1000

    copy_store(source, target, journal=journal, size=8)

    assert same_past(source, target)


def test_what_reads_back_otherwise_is_an_error(source: FeatureStore) -> None:
    """A target that alters one value is found out, with the feature and the day."""

    class Rounding(MemoryStore):
        def write(self, group: Any, rows: Any, *, commit: Commit | None = None) -> Any:
            return super().write(group, rows.assign(**{group.feature_names[-1]: rows.iloc[:, -1]}), commit=commit)

        def changes(self, *args: Any, **kwargs: Any) -> pd.DataFrame:
            found = super().changes(*args, **kwargs)
            return found.assign(volume=found["volume"].astype("float32").astype("float64"))

    with pytest.raises(CheckFailed, match=r"mixed v1 differs in volume on 2024-01-0"):
        copy_store(source, Rounding(Contents(), {}), ["mixed:1"])


def test_without_knowledge_time_the_newest_state_goes_and_that_is_said(source: FeatureStore, tmp_path: Path) -> None:
    """If one side keeps no past, plan and report say loudly that it is lost, and the newest rows are equal."""
    target = Forgetful()
    assert "KNOWLEDGE TIME IS LOST" in plan_copy(source, target).notes[0]
    report = copy_store(source, target, size=16, journal=tmp_path / "there")
    back = connect("memory")
    report_back = copy_store(target, back, size=16, journal=tmp_path / "back")

    assert not report.plan.history
    assert "KNOWLEDGE TIME IS LOST" in report.notes[0]
    assert "KNOWLEDGE TIME IS LOST" in report_back.notes[0]
    for group in (GROUP, NEWER, NOTES):
        pd.testing.assert_frame_equal(target.read(group), source.read(group))
        pd.testing.assert_frame_equal(back.read(group), source.read(group))
    source.write(GROUP, rows(3, first=58, seed=9))
    for one, other, name in ((source, target, "there"), (target, back, "back")):
        copy_store(one, other, size=16, journal=tmp_path / name)
        pd.testing.assert_frame_equal(other.read(GROUP), source.read(GROUP))


def test_newest_state_onto_other_data(source: FeatureStore) -> None:
    """Without knowledge time too, rows that are not the source's are refused, and a part of the source's is completed."""
    target = Forgetful()
    target.apply(GROUP)
    target.write(GROUP, source.read(GROUP).iloc[10:50])
    copy_store(source, target)
    pd.testing.assert_frame_equal(target.read(GROUP), source.read(GROUP))
    other = Forgetful()
    other.apply(GROUP)
    other.write(GROUP, rows(1, first=500))
    with pytest.raises(CheckFailed, match="which the source has not"):
        copy_store(source, other)
    assert other.definitions() == [GROUP]


class Growing(MemoryStore):
    """Gets another commit each time that rows are asked for, so many times."""

    def __init__(self, times: int, kinds: frozenset[Capability]) -> None:
        super().__init__(Contents(), {})
        self.capabilities = kinds
        self.times = 0
        filled(self)
        self.times = times

    def _grow(self, group: Any) -> None:
        if self.times > 0 and group == GROUP:
            self.times -= 1
            self.write(GROUP, rows(2, first=20 + self.times, seed=self.times + 5))

    def changes(self, group: Any, *args: Any, **kwargs: Any) -> pd.DataFrame:
        found = super().changes(group, *args, **kwargs)
        self._grow(group)
        return found

    def read(self, group: Any, *args: Any, **kwargs: Any) -> pd.DataFrame:
        found = super().read(group, *args, **kwargs)
        self._grow(group)
        return found


@pytest.mark.parametrize("past", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_source_that_changes_is_followed(past: bool, keeps: bool) -> None:
    """Commits that come while the copy runs are copied too."""
    kinds = MemoryStore.capabilities if past else MemoryStore.capabilities - {Capability.TIME_TRAVEL}
    source, target = Growing(5, kinds), connect("memory") if keeps else Forgetful()
    report = copy_store(source, target, size=16)

    assert source.times == 0
    assert sum(group.followed for group in report.groups) > 0
    pd.testing.assert_frame_equal(target.read(GROUP), source.read(GROUP))
    if past and keeps:
        assert same_past(source, target)


def test_a_source_that_never_rests_is_told() -> None:
    """A source that changes without end is followed a few times, and the report says that it goes on."""
    source, target = Growing(10_000, MemoryStore.capabilities), connect("memory")
    report = copy_store(source, target, ["mixed:1"], size=1000)

    assert any("changed all the while" in note for note in report.notes)


def test_a_store_that_lacks_what_a_copy_needs() -> None:
    """A source that cannot be scanned, or a target that cannot be written, is refused by the capability's name."""
    source, target = filled(connect("memory")), connect("memory")
    target.capabilities = MemoryStore.capabilities - {Capability.WRITE}
    with pytest.raises(Unsupported, match="'write'"):
        copy_store(source, target)
    with pytest.raises(ConfigError, match="same store"):
        copy_store(source, source)


def test_the_plan_counts_rows_bytes_and_calls(source: FeatureStore, tmp_path: Path) -> None:
    """The plan has rows and bytes to write, and the calls that the target forecasts; it writes nothing."""

    class Counting(MemoryStore):
        def forecast_calls(self, group: Any, rows: int, writes: int) -> dict[str, int]:
            return {"write": writes, "row": rows}

    target = Counting(Contents(), {})
    assert isinstance(target, ForecastsCalls)
    with connect("duckdb", path=tmp_path) as counted:
        copy_store(source, counted)
        plan = plan_copy(counted, target, size=50).to_dict()

    assert [group["rows_to_write"] for group in plan["groups"]] == [141, 24, 5]
    assert [group["rows"] for group in plan["groups"]] == [131, 24, 3]
    assert plan["groups"][0]["bytes"] == 141 * (16 + 8 + 8 + 5 * 8 + 16)
    assert plan["groups"][0]["calls"] == {"write": 3 + 1 + 1, "row": 141}
    assert plan["calls"] == {"write": 5 + 1 + 2, "row": 170}
    assert target.definitions() == []


def test_a_journal_of_another_copy_is_refused(source: FeatureStore, tmp_path: Path) -> None:
    """A journal belongs to two stores and a choice of groups; any other file is left as it is."""
    journal = tmp_path / "journal"
    copy_store(source, connect("memory"), journal=journal, names=("a", "b"))
    with pytest.raises(ConfigError, match="another copy"):
        copy_store(source, connect("memory"), journal=journal, names=("a", "c"))
    for content in ("some text without an end", "key = 1\nother = 2\n"):
        (tmp_path / "other").write_text(content)
        with pytest.raises(ConfigError, match="no journal"):
            copy_store(source, connect("memory"), journal=tmp_path / "other")
        assert (tmp_path / "other").read_text() == content


def test_a_torn_journal_counts_up_to_its_last_whole_line(source: FeatureStore, tmp_path: Path) -> None:
    """Cut off at any byte, as a crash may, the journal still leads to a whole copy."""
    target, journal = connect("memory"), tmp_path / "journal"
    copy_store(source, target, journal=journal, size=40)
    content = journal.read_bytes()
    for length in range(0, len(content), 97):
        journal.write_bytes(content[:length])
        assert copy_store(source, target, journal=journal, size=40).rows <= 165

        assert same_past(source, target)


def test_a_commit_without_rows_does_not_stop_a_copy() -> None:
    """A commit that changed no row is passed over, also when the copy is repeated."""

    class WithEmpty(MemoryStore):
        def commits(self, group: Any) -> list[Commit]:
            found = list(super().commits(group))
            return [found[0], Commit("empty", found[0].committed_at + timedelta(microseconds=1)), *found[1:]]

        def changes(self, group: Any, commit: Commit, *args: Any) -> pd.DataFrame:
            if commit.id == "empty":
                return super().changes(group, super().commits(group)[0]).iloc[:0]
            return super().changes(group, commit, *args)

    source, target = WithEmpty(Contents(), {}), connect("memory")
    source.apply(NOTES)
    source.write(NOTES, notes(3))
    source.write(NOTES, notes(2, START + HOUR))
    copy_store(source, target)

    assert len(target.commits(NOTES)) == 2
    assert copy_store(source, target).rows == 0
