"""What goes wrong in Hopsworks while btcfs ingests, trains and serves: never half of it, a wrong number or a hang."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

pytest.importorskip("hopsworks", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

from btcfs.errors import AuthError, BtcfsError, StoreUnavailable
from btcfs.training.registry import Registry
from btcfs_hopsworks import connect
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.loopback import free_address
from faulted import DAY, DEFAULTS, Scene, scene, settings, told
from hopsworks_faults import FAULTS


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("faults")
    with (
        Emulator(host=free_address()) as emulator,
        connect(**settings(emulator, folder), defaults=DEFAULTS) as store,
        scene(emulator, store, folder) as made,
    ):
        yield made


@pytest.fixture
def troubled(opened: Scene) -> Iterator[Scene]:
    opened.emulator.knobs.reset()
    yield opened
    opened.emulator.knobs.reset()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_while_ingesting(troubled: Scene, name: str) -> None:
    """A commit is whole or invisible, what was reported holds, and the same command again leaves what an untroubled store has."""
    before = troubled.rows(troubled.twin)
    troubled.now += DAY
    FAULTS[name](troubled.emulator.knobs)
    outcome = troubled.attempt("ingest", lambda: troubled.ingest(troubled.store))
    troubled.emulator.knobs.reset()
    right = troubled.ingest(troubled.twin)
    after = troubled.rows(troubled.twin)

    for title, found in troubled.settled(lambda: troubled.rows(troubled.store)).items():
        whole = not isinstance(outcome, BtcfsError) or len(found) == len(after[title])
        pd.testing.assert_frame_equal(found, (after if whole else before)[title])
    if not isinstance(outcome, BtcfsError):
        assert (outcome.new_candles, outcome.inserted) == (right.new_candles, right.inserted) == (1, 1)
    troubled.settled(lambda: troubled.ingest(troubled.store))
    for title, found in troubled.rows(troubled.store).items():
        pd.testing.assert_frame_equal(found, after[title])
    assert troubled.failures() == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_while_training(troubled: Scene, name: str) -> None:
    """A version rests on the right rows and has the right scores, or there is an error of ours and no version."""
    right = troubled.untroubled_training()
    FAULTS[name](troubled.emulator.knobs)
    outcome = troubled.attempt("train", lambda: troubled.train(troubled.store, name))
    troubled.emulator.knobs.reset()

    versions = [one.version for one in Registry(troubled.folder / name).versions()]
    if isinstance(outcome, BtcfsError):
        assert versions == []
    else:
        assert versions == [outcome.version]
        assert outcome.training_set == right.training_set
        assert outcome.to_dict()["tasks"] == right.to_dict()["tasks"]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_while_serving(troubled: Scene, name: str) -> None:
    """A prediction is right or a problem document that says the store is away, and right again afterwards."""
    right = told(troubled.predictions(troubled.right))
    FAULTS[name](troubled.emulator.knobs)
    during = troubled.attempt("predict", lambda: troubled.predictions(troubled.client))
    troubled.emulator.knobs.reset()

    for answer, expected in zip(during, right, strict=True):
        if answer.status_code == 200:
            assert told([answer]) == [expected]
        else:
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["type"].endswith("unavailable")
    if name.startswith("MySQL"):  # where the vectors are
        assert [answer.status_code for answer in during] == [503, 503]
    troubled.settled(troubled.newest)
    assert told(troubled.predictions(troubled.client)) == right


def test_who_must_act(troubled: Scene) -> None:
    """A refused key is an AuthError that says what to do, an outage is StoreUnavailable."""
    group, _ = troubled.groups
    troubled.emulator.knobs.change({"key_expired": True})
    with pytest.raises(AuthError, match="API key"):
        troubled.store.read(group)
    troubled.emulator.knobs.reset()
    troubled.emulator.knobs.add("status", "rest *", times=None, status=503)
    with pytest.raises(StoreUnavailable, match="503"):
        troubled.store.read(group)
