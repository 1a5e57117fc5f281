"""The trial ledger: nothing tried is forgotten."""

from __future__ import annotations

import multiprocessing
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

from btcfs.errors import SchemaError
from btcfs.training.ledger import FILE, Trial, deflate, openings, read_trials, record, shopped
from btcfs.training.version_names import reserved_version

TRIAL = Trial(
    version="v1",
    made_at="2026-01-01T00:00:00+00:00",
    kind="walk-forward",
    task="classification",
    model="logistic",
    market="BTC-USD 1d",
    label="label_direction_1",
    training_set="0" * 64,
    start=0,
    end=36,
    newest="2026-01-01",
    rows=37,
    hits=27,
    base_rate=0.5,
)


def test_twenty_two_tries_explain_a_good_one(tmp_path: Path) -> None:
    """Of 22 tries on one month, a .73 is what luck may well give; of one try it is not."""
    record(tmp_path, [attrs.evolve(TRIAL, hits=18)] * 21)

    alone = deflate([], TRIAL)
    many = deflate(read_trials(tmp_path), TRIAL)

    assert alone.chance_best == pytest.approx(alone.chance_one)
    assert alone.chance_one < 0.01
    assert many.trials == 22
    assert 0.05 < many.chance_best < 0.2
    assert "best of 22 tries" in many.text
    assert "0.730" in many.text


def test_trials_elsewhere_do_not_count() -> None:
    """Another market, another task, or a period that shares no instant is no second try."""
    others = [
        attrs.evolve(TRIAL, market="ETH-USD 1d"),
        attrs.evolve(TRIAL, task="regression"),
        attrs.evolve(TRIAL, start=37, end=80),
    ]

    assert deflate(others, TRIAL).trials == 1
    assert deflate([attrs.evolve(TRIAL, start=36, end=80)], TRIAL).trials == 2


def test_windows_over_one_state_of_the_data_are_shopping() -> None:
    """Three test periods on the same data are a choice; the same period again, or later data, is none."""
    again = [TRIAL] * 5
    later = [attrs.evolve(TRIAL, start=k, end=36 + k, newest=f"day {k}") for k in range(5)]
    moved = [attrs.evolve(TRIAL, start=k, end=36) for k in (1, 2)]

    assert shopped(again, TRIAL) is None
    assert shopped(later, TRIAL) is None
    reason = shopped(moved, TRIAL)
    assert reason is not None
    assert "test-window shopping: 3 different test periods" in reason


def test_openings_of_a_holdout_are_counted() -> None:
    """A sealed period is new only once."""
    opened = attrs.evolve(TRIAL, kind="holdout")

    assert openings([], opened) == 0
    assert openings([opened, TRIAL, attrs.evolve(opened, version="v2")], opened) == 2


def _write(folder: Path, number: int) -> None:
    for k in range(20):
        record(folder, [attrs.evolve(TRIAL, version=f"{number}-{k}"), TRIAL])


def test_concurrent_trainings_lose_no_trial(tmp_path: Path) -> None:
    """Trials of four processes all stand in the ledger, each on a line of its own."""
    # A spawned process would have to import this module, whose name differs between releases of pytest.
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_write, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    found = read_trials(tmp_path)
    assert len(found) == 4 * 20 * 2
    assert {trial.version for trial in found} == {"v1", *(f"{n}-{k}" for n in range(4) for k in range(20))}


def test_a_damaged_ledger_is_named(tmp_path: Path) -> None:
    """A line that is no trial is an error with its number, not a trial fewer."""
    record(tmp_path, [TRIAL])
    with (tmp_path / FILE).open("a") as file:
        file.write("{}\n")

    with pytest.raises(SchemaError, match="line 2 is not a trial"):
        read_trials(tmp_path)


def test_names_of_versions_are_given_out_once(tmp_path: Path) -> None:
    """Trainings in one second get different versions, what is saved keeps its name, and a failed one leaves nothing."""
    with ExitStack() as stack:
        names = [stack.enter_context(reserved_version(tmp_path)) for _ in range(5)]
        for name in names[:4]:
            (tmp_path / name).mkdir()
    with reserved_version(tmp_path) as later:
        pass

    assert len(set(names)) == 5
    assert later not in names[:4]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[:4])
