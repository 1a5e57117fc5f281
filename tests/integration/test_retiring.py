"""Deleting groups and views: what needs them is named, the rows can be brought back, and a version is not used again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pandas as pd
import pytest

import trained
from btcfs.connection import connect
from btcfs.definitions import Feature, FeatureGroup, FeatureView
from btcfs.errors import DefinitionError, NotFound, StoreBusy, StoreUnavailable, Unsupported
from btcfs.fallback import FallbackStore
from btcfs.pipeline.tombstones import TOMBSTONES, refuse_reuse, tombstones
from btcfs.store import Capability, FeatureStore
from btcfs.transfer.copying import copy_store
from btcfs.transfer.retiring import Retirement, plan_retirement, retire
from moving import GROUP, NEWER, NOTES, VIEW, Forgetful, filled, notes, same_past
from outages import Outage

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")


@pytest.fixture(params=["memory", "duckdb", "fallback", "feast", pytest.param("hopsworks", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FeatureStore]:
    """A store with a past, of each kind."""
    if request.param == "memory":
        opened: Any = connect("memory")
    elif request.param == "duckdb":
        opened = connect("duckdb", path=tmp_path / "store")
    elif request.param == "fallback":
        opened = FallbackStore(connect("memory"), connect("memory"), tmp_path / "journal")
    elif request.param == "feast":
        pytest.importorskip("feast", reason="the extra btcfs[feast] is not installed")
        opened = connect("feast", path=tmp_path / "repo", create=True)
    else:
        opened = request.getfixturevalue("project")
    with opened as made:
        yield filled(made)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[FeatureStore]:
    pytest.importorskip("confluent_kafka", reason="the extra hopsworks-emulator is not installed")
    pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")
    from btcfs_hopsworks.emulator.application import Emulator
    from btcfs_hopsworks.emulator.loopback import free_address

    with Emulator(host=free_address()) as running:
        options = {"host": running.host, "port": running.port, "api_key": running.api_key}
        yield connect("hopsworks", **options, quota_file=tmp_path / "quota.json")


def retired(store: FeatureStore, definition: Any, folder: Path, **options: Any) -> Retirement:
    return retire(store, definition, models_dir=folder / "models", keep_in=folder / "kept", **options)


def bundle(folder: Path, view: FeatureView) -> str:
    """A saved model of that view."""
    return trained.bundle(
        folder / "models", view=attrs.evolve(trained.VIEW, groups=view.groups, name=view.name)
    ).version


def test_what_is_deleted_can_be_brought_back(store: FeatureStore, tmp_path: Path) -> None:
    """On every backend the group is gone, its rows with their past are kept, and a copy restores them bit for bit."""
    twin = filled(connect("memory"))
    copy_store(store, expected := connect("memory"), ["mixed:1"])
    with pytest.raises(DefinitionError, match=r"mixed v1 is used by the views narrow v1"):
        retired(store, GROUP, tmp_path)
    retired(store, VIEW, tmp_path)

    done = retired(store, GROUP, tmp_path)

    assert (done.titles, done.rows["mixed v1"]) == (["mixed v1"], len(twin.read(GROUP)))
    assert [d.ref for d in store.definitions() if d.name == "mixed"] == [NEWER.ref]
    with pytest.raises(NotFound):
        store.read(GROUP)
    assert [(t.kind, t.title, t.rows) for t in tombstones(store)] == [
        ("group", "mixed v1", done.rows["mixed v1"]),
        ("view", "narrow v1", 0),
    ]
    assert done.kept_in is not None
    with connect("duckdb", path=done.kept_in / "store") as kept:
        copy_store(kept, store)
    assert same_past(expected, store, [GROUP])
    pd.testing.assert_frame_equal(store.read(NOTES), twin.read(NOTES))


def test_a_deleted_version_is_not_used_for_anything_else(tmp_path: Path) -> None:
    """The same content may come again under its version; another one needs the next free version, and is told which."""
    store = filled(connect("memory"))
    retired(store, VIEW, tmp_path)
    retired(store, GROUP, tmp_path, all_versions=True)
    other = FeatureGroup("mixed", 1, [Feature("close")], interval="1h")

    refuse_reuse(store, GROUP)
    refuse_reuse(store, attrs.evolve(other, version=3))
    refuse_reuse(store, attrs.evolve(VIEW, version=7))
    with pytest.raises(DefinitionError, match=r"mixed v1 was deleted .* use version 3"):
        refuse_reuse(store, other)
    with pytest.raises(DefinitionError, match="the record of what was deleted"):
        retired(store, TOMBSTONES, tmp_path)


def test_models_stand_in_the_way_until_a_reason_is_given(tmp_path: Path) -> None:
    """A group that a model's view reads goes only for a reason in words, and the record keeps reason and models."""
    store = filled(connect("memory"))
    retired(store, VIEW, tmp_path)
    version = bundle(tmp_path, VIEW)
    other = bundle(tmp_path, attrs.evolve(VIEW, name="other", groups=[NEWER.ref]))

    for reason in (None, "  "):
        with pytest.raises(DefinitionError):
            retired(store, GROUP, tmp_path, force_reason=reason)
    with pytest.raises(DefinitionError, match=rf"mixed v1 is used by the models {version} \(candidate\), which"):
        plan_retirement(store, GROUP, models_dir=tmp_path / "models")
    assert GROUP in store.definitions()
    done = retired(store, GROUP, tmp_path, force_reason="the venue closed")

    assert done.models == (f"{version} (candidate)",)
    assert other not in str(done.models)
    assert (tombstones(store)[0].reason, tombstones(store)[0].models) == ("the venue closed", done.models)


def test_a_model_that_cannot_be_read_counts_as_a_user(tmp_path: Path) -> None:
    """Nobody knows what a damaged bundle needs, so it stands in the way of every deletion."""
    store = filled(connect("memory"))
    version = bundle(tmp_path, VIEW)
    (tmp_path / "models" / version / "bundle.json").write_text("{}")

    with pytest.raises(DefinitionError, match=rf"{version} \(cannot be read"):
        retired(store, NOTES, tmp_path)


def test_rows_are_kept_as_long_as_said_and_no_longer(tmp_path: Path) -> None:
    """What was kept for its time is removed by the next deletion, which says so; 0 days keep nothing."""
    store = filled(connect("memory"))
    first = retired(store, NOTES, tmp_path)
    assert first.kept_in is not None
    mark = first.kept_in / "kept.json"
    content = json.loads(mark.read_text())
    retired(store, NEWER, tmp_path, keep_days=0)
    still = mark.exists()
    assert first.kept_until is not None
    mark.write_text(json.dumps({**content, "until": (first.kept_until - timedelta(days=31)).isoformat()}))

    done = retired(store, VIEW, tmp_path)

    assert still
    assert done.purged == (f"notes v1 in {first.kept_in}",)
    assert list((tmp_path / "kept").iterdir()) == []


def test_nothing_goes_that_was_written_meanwhile(tmp_path: Path) -> None:
    """Rows that come between the copy and the deletion stop it; the group stays with them."""

    class Busy(Forgetful):
        def exclusive(self) -> Any:
            if len(self.read(NOTES)) < 9:
                self.write(NOTES, late)
            return super().exclusive()

    late = notes(9)
    store = filled(Busy())

    with pytest.raises(StoreBusy, match="written to meanwhile"):
        retired(store, NOTES, tmp_path)
    assert len(store.read(NOTES)) == 9
    assert tombstones(store) == []
    assert list((tmp_path / "kept").iterdir()) == []


def test_nothing_is_deleted_on_the_word_of_a_mirror(tmp_path: Path) -> None:
    """While only the mirror answers, what the store holds beyond it cannot be kept, so the group stays on both sides."""
    primary = Outage(connect("memory"))
    with FallbackStore(primary, connect("memory"), tmp_path / "journal") as store:
        filled(store)
        primary.mode = "down"

        with pytest.raises(StoreUnavailable, match="nothing was deleted: only a mirror of notes v1 answers"):
            retired(store, NOTES, tmp_path)
        primary.heal()

        assert NOTES in store.definitions()
        assert store.pending() == []
        assert not (tmp_path / "kept").exists()


def test_a_store_that_deletes_nothing_says_so(tmp_path: Path) -> None:
    """Where DELETE is not declared, the refusal comes before anything is copied."""

    class Lasting(Forgetful):
        capabilities = Forgetful.capabilities - {Capability.DELETE}

    with pytest.raises(Unsupported, match="deletes nothing"):
        retired(filled(Lasting()), NOTES, tmp_path)
    assert not (tmp_path / "kept").exists()
