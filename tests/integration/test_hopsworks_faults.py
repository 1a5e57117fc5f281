"""What goes wrong in Hopsworks while btcfs writes, trains and serves: never half of a write, a wrong number or a hang."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("hopsworks", reason="the extra hopsworks-emulator is not installed")
pytest.importorskip("mysql_mimic", reason="the extra hopsworks-emulator is not installed")

from btcfs.definitions import FeatureGroup, FeatureView
from btcfs.errors import AuthError, BtcfsError, StoreUnavailable
from btcfs.store import FeatureStore
from btcfs.testing.backends.examples import candle_group, candles, view_of
from btcfs_hopsworks import HopsworksStore, connect
from btcfs_hopsworks.emulator.application import Emulator
from btcfs_hopsworks.emulator.loopback import free_address
from hopsworks_faults import FAULTS, PATIENCE, TIMEOUT, WRITE_TIMEOUT, attempted


@attrs.frozen
class Scene:
    """A store with one group of six candles and a view of it."""

    store: HopsworksStore
    emulator: Emulator
    group: FeatureGroup
    view: FeatureView
    rows: pd.DataFrame


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, HopsworksStore]]:
    with Emulator(host=free_address()) as emulator:
        store = connect(
            host=emulator.host,
            port=emulator.port,
            api_key=emulator.api_key,
            timeout=TIMEOUT,
            write_timeout=WRITE_TIMEOUT,
            quota_file=tmp_path_factory.mktemp("quota") / "quota.json",
            monthly_calls=10**9,
        )
        with store:
            yield emulator, store


@pytest.fixture
def scene(opened: tuple[Emulator, HopsworksStore]) -> Iterator[Scene]:
    emulator, store = opened
    emulator.knobs.reset()
    group = candle_group()
    view = view_of(group)
    rows = candles(group, 6)
    store.apply(group)
    store.write(group, rows)
    store.apply(view)
    store.get_online_features(view, [{"symbol": "BTC-USD"}])
    yield Scene(store, emulator, group, view, rows)
    emulator.knobs.reset()


def settled(act: Callable[[], Any]) -> Any:
    """What it returns once the fault is over; connections that were broken may take another try."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except StoreUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def newest(store: FeatureStore, view: FeatureView) -> list[float]:
    (vector,) = store.get_online_features(view, [{"symbol": "BTC-USD"}])
    return [float(value) for value in vector.values]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_while_writing(scene: Scene, name: str) -> None:
    """The write is whole or invisible, what was reported holds, and the same write goes through afterwards."""
    changed = scene.rows.assign(a=np.arange(6.0), b=0.5)
    FAULTS[name](scene.emulator.knobs)
    outcome = attempted(lambda: scene.store.write(scene.group, changed))
    scene.emulator.knobs.reset()
    after = settled(lambda: scene.store.read(scene.group))
    vector = settled(lambda: newest(scene.store, scene.view))

    seen = changed if list(after["b"]) == [0.5] * 6 else scene.rows
    pd.testing.assert_frame_equal(after, seen)
    assert vector == [float(value) for value in seen[["a", "b"]].iloc[-1]]
    if not isinstance(outcome, BtcfsError):
        assert outcome.updated == 6
        assert seen is changed
    again = settled(lambda: scene.store.write(scene.group, changed))
    assert (again.updated, again.unchanged) in ((6, 0), (0, 6))
    pd.testing.assert_frame_equal(settled(lambda: scene.store.read(scene.group)), changed)
    assert settled(lambda: newest(scene.store, scene.view)) == [5.0, 0.5]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_while_training(scene: Scene, name: str) -> None:
    """A training frame is right or an error of ours, and right again afterwards."""
    spine = scene.rows[["symbol", "event_time"]]
    right = scene.rows[["symbol", "event_time", "a", "b"]]
    FAULTS[name](scene.emulator.knobs)
    outcome = attempted(lambda: scene.store.get_historical_features(scene.view, spine))
    scene.emulator.knobs.reset()

    if not isinstance(outcome, BtcfsError):
        pd.testing.assert_frame_equal(outcome, right)
    pd.testing.assert_frame_equal(settled(lambda: scene.store.get_historical_features(scene.view, spine)), right)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_while_serving(scene: Scene, name: str) -> None:
    """A vector is right or an error of ours, and right again afterwards."""
    right = [float(value) for value in scene.rows[["a", "b"]].iloc[-1]]
    FAULTS[name](scene.emulator.knobs)
    outcome = attempted(lambda: newest(scene.store, scene.view))
    scene.emulator.knobs.reset()

    assert isinstance(outcome, BtcfsError) or outcome == right
    assert settled(lambda: newest(scene.store, scene.view)) == right


def test_who_must_act(scene: Scene) -> None:
    """A refused key is an AuthError that says what to do, an outage is StoreUnavailable."""
    scene.emulator.knobs.change({"key_expired": True})
    with pytest.raises(AuthError, match="API key"):
        scene.store.read(scene.group)
    scene.emulator.knobs.reset()
    scene.emulator.knobs.add("status", "rest *", times=None, status=503)
    with pytest.raises(StoreUnavailable, match="503"):
        scene.store.read(scene.group)
