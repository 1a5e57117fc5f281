"""The prediction log's spool: what waits outlives its server, is written by the next one, and is removed when it is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from btcfs import memory
from btcfs.errors import AuthError, StoreBusy
from integration import spool_child as child
from integration.spool_child import logged
from mirrored import eventually
from outages import Outage
from served import OneModel, bundle_for, filled, inference_view, market
from small_disk import fill, mounted

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")
from starlette.testclient import TestClient

from btcfs.serving import create_app
from btcfs.serving.prediction_log import BATCH, PREDICTIONS, PredictionLog
from btcfs.serving.prediction_spool import PredictionSpool
from btcfs.serving.spool_file import Piece

DAY = 86_400.0


@contextmanager
def server(folder: Path, *names: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose log keeps these predictions, and keeps running; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, child.__file__, str(folder), *names],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{len(names)}\n"
            yield process
        finally:
            process.kill()


@contextmanager
def running(store: Any, folder: Path, **options: Any) -> Iterator[PredictionLog]:
    log = PredictionLog(store, **{"interval": DAY, "spool": folder, **options})
    log.start()
    try:
        yield log
    finally:
        log.stop()


def stored(store: Any) -> set[str]:
    return set(store.read(PREDICTIONS)["prediction_id"])


def test_what_killed_servers_left_is_written_at_once(tmp_path: Path) -> None:
    """The files of several servers that were killed are taken up by one that starts, written and removed."""
    with server(tmp_path, "a", "b"), server(tmp_path, "c"):
        pass
    assert len(list(tmp_path.iterdir())) == 2
    store = memory.connect()

    with running(store, tmp_path) as log:
        assert log.waiting == 3
        eventually(lambda: log.written == 3)
        assert log.spool is not None
        eventually(lambda: log.spool is not None and log.spool.rows == 0)

    assert stored(store) == {"a", "b", "c"}
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_server_that_lives_is_its_own(tmp_path: Path) -> None:
    """Of two servers with one folder neither has the other's predictions, until one is gone."""
    store = memory.connect()
    with server(tmp_path, "hers"):
        with running(store, tmp_path) as log:
            assert log.waiting == 0
            log.add(logged("ours"))
        assert stored(store) == {"ours"}
    with running(store, tmp_path) as log:
        assert log.waiting == 1

    assert stored(store) == {"hers", "ours"}


def test_two_that_start_at_once_share_what_is_left(tmp_path: Path) -> None:
    """Each file that was left is taken by one of them alone."""
    with server(tmp_path, "a"):
        pass
    with ExitStack() as stack:
        taken = []
        for _ in range(2):
            spool = PredictionSpool(tmp_path, "memory")
            stack.callback(spool.close)
            taken.append(len(spool.take(10)))

    assert taken == [1, 0]


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_torn_end_is_cut_off_and_counted(tmp_path: Path, damage: str) -> None:
    """Wherever the last frame is torn, or whichever of its bytes is wrong, those before it are whole and it is gone."""
    pieces: list[Piece] = [(2, bytearray(b"first and second")), (1, bytearray(b"third"))]
    spool = PredictionSpool(tmp_path / "from", "memory")
    assert spool.keep(pieces[:1])
    [path] = (tmp_path / "from").iterdir()
    before = path.stat().st_size
    assert spool.keep(pieces[1:])
    content = path.read_bytes()
    spool.close()

    for at in range(before, len(content)):
        folder = tmp_path / str(at)
        folder.mkdir()
        torn = content[:at] if damage == "cut" else content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        (folder / path.name).write_bytes(torn)
        again = PredictionSpool(folder, "memory")
        assert again.take(10) == pieces[:1]
        assert (again.rows, again.torn) == (2, int(len(torn) > before))
        again.close()
        assert (folder / path.name).read_bytes() == content[:before]


def test_a_first_line_that_was_torn_holds_nothing(tmp_path: Path) -> None:
    """A file whose server was killed before it kept anything is removed."""
    for name, content in (("1", b""), ("2", b"btcfs pred")):
        (tmp_path / f"{name}.spool").write_bytes(content)

    assert PredictionSpool(tmp_path, "memory").take(10) == []
    assert list(tmp_path.iterdir()) == []


def test_predictions_for_another_store_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server over another store does not write them there; the message names the file."""
    with server(tmp_path, "a"):
        pass
    [path] = tmp_path.iterdir()
    before = path.read_bytes()
    other, elsewhere = Outage(memory.connect()), Outage(memory.connect())
    other.name = "another"
    elsewhere.place = "another project"

    for store in (other, elsewhere):
        with running(store, tmp_path) as log:
            assert log.waiting == 0

    assert path.read_bytes() == before
    assert f"{path} is left alone" in caplog.text


@pytest.mark.parametrize("interval", [DAY, 0.01])
def test_a_store_that_refuses_leaves_them_to_the_next_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, interval: float
) -> None:
    """A normal end drops nothing while the store is away, whatever the interval, and says where it waits."""
    store = Outage(memory.connect())
    store.mode = "down"
    with running(store, tmp_path, interval=interval) as log:
        for name in "abc":
            log.add(logged(name))
    assert (log.dropped, log.written, log.waiting) == (0, 0, 0)
    assert f"3 predictions wait in {tmp_path} for the next server" in caplog.text

    store.heal()
    with running(store, tmp_path) as log:
        assert log.waiting == 3

    assert stored(store) == {"a", "b", "c"}
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_hangs_at_the_end_costs_nothing(tmp_path: Path) -> None:
    """What a write does not acknowledge in the time that a stop has is kept, and written again by the next server."""
    store = Outage(memory.connect())
    store.mode = "late"
    log = PredictionLog(store, interval=DAY, spool=tmp_path)
    log.start()
    log.add(logged("a"))
    log.stop(0.1)
    assert (log.dropped, log.waiting, len(list(tmp_path.iterdir()))) == (0, 0, 1)

    store.heal()
    with running(store, tmp_path) as log:
        assert log.waiting == 1
    assert stored(store) == {"a"}


def test_what_comes_while_a_write_takes_its_time_is_kept(tmp_path: Path) -> None:
    """The disk gets its share every two seconds, even if the store takes minutes over a write."""
    store = Outage(memory.connect())
    store.mode = "late"
    with running(store, tmp_path, interval=2.5) as log:
        log.add(logged("a"))
        eventually(lambda: sum(store.calls.values()) > 0)
        log.add(logged("b"))
        eventually(lambda: log.spool is not None and log.spool.rows == 2)
        store.heal()

    assert (log.written, log.dropped) == (2, 0)
    assert stored(store) == {"a", "b"}


def test_what_is_written_is_not_kept(tmp_path: Path) -> None:
    """Of two batches of which the store took one, the other one waits on the disk."""
    store = Outage(memory.connect())
    log = PredictionLog(store, interval=DAY, spool=tmp_path)
    store.modes["write"] = StoreBusy("another process writes")
    for number in range(BATCH + 5_000):
        log.add(logged(str(number)))
    assert log.flush() is False
    log._keep()
    assert log.spool is not None
    assert log.spool.rows == BATCH + 5_000
    write = store.store.write

    def once(*args: Any, **options: Any) -> Any:
        report = write(*args, **options)
        store.modes["write"] = StoreBusy("another process writes")
        return report

    store.store.write = once
    store.modes.clear()
    assert log.flush() is False

    assert log.written >= BATCH
    assert log.spool.rows == log.waiting == BATCH + 5_000 - log.written > 0
    log.start()
    log.stop(0.1)
    left = PredictionSpool(tmp_path, "memory")
    assert sum(rows for rows, _ in left.take(BATCH)) == BATCH + 5_000 - log.written
    left.close()


def test_the_capacity_counts_what_was_kept(tmp_path: Path) -> None:
    """Predictions taken up from the disk leave less room for new ones, and files without room stay."""
    with server(tmp_path, "a", "b", "c"), server(tmp_path, "d"):
        pass
    store = Outage(memory.connect())
    store.mode = "down"

    with running(store, tmp_path, capacity=3) as log:
        assert log.waiting == 3
        log.add(logged("new"))
        assert (log.waiting, log.dropped) == (3, 1)
    assert len(list(tmp_path.iterdir())) == 2

    store.heal()
    with running(store, tmp_path) as log:
        assert log.waiting == 4
    assert stored(store) == {"a", "b", "c", "d"}


def test_a_key_that_is_refused_drops_nothing(tmp_path: Path) -> None:
    """Until somebody gives a valid key, predictions wait as they do when the store is away."""
    store = Outage(memory.connect())
    store.mode = AuthError("the API key was refused")
    with running(store, tmp_path) as log:
        log.add(logged("a"))
    assert (log.dropped, log.last_error) == (0, "AuthError: the API key was refused")

    store.heal()
    with running(store, tmp_path):
        pass
    assert stored(store) == {"a"}


def test_a_log_that_is_written_every_two_seconds_needs_no_disk(tmp_path: Path) -> None:
    """Nothing is made in the folder while the store takes what there is."""
    with running(memory.connect(), tmp_path / "none", interval=None) as log:
        log.add(logged("a"))
        eventually(lambda: log.written == 1)

    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_written_stops_no_prediction(tmp_path: Path, frame_source: Callable[..., Any]) -> None:
    """Predictions are answered and logged; readiness and metrics tell what is wrong, and no path of the server."""
    store = memory.connect(defaults={"symbol": "BTC-USD"})
    filled(store, frame_source(market()))
    (tmp_path / "file").write_text("in its way", encoding="utf-8")
    models = OneModel(bundle_for(inference_view(store)))

    with TestClient(create_app(store=store, models=models, log_seconds=DAY, spool=tmp_path / "file")) as client:
        answer = client.post("/predict", json={})
        told = client.get("/ready").json()["log_error"]
        metrics = client.get("/metrics").text

    assert answer.status_code == 200
    assert "cannot keep predictions in" in told
    assert "--spool" in told
    assert str(tmp_path) not in told
    assert re.search(r"^btcfs_prediction_log_failing 1", metrics, re.MULTILINE)
    assert stored(store) == {answer.json()["prediction_id"]}


def test_a_full_disk_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Without room predictions wait in memory and it is said once; with room they are on the disk, each once."""
    with mounted(1) as disk:
        folder = disk / "spool"
        with running(memory.connect(), folder) as log:
            assert log.spool is not None
            log.add(logged("a"))
            log._keep()
            assert log.spool.rows == 1
            filler = fill(disk, 0)
            for number in range(100):
                log.add(logged(str(number)))
            for _ in range(3):
                log._keep()
            assert log.spool.rows == 1
            assert "No space left" in str(log.last_error)
            assert caplog.text.count("cannot keep predictions") == 1
            filler.unlink()
            log._keep()
            assert (log.spool.rows, log.waiting, log.last_error) == (101, 101, None)
        assert (log.written, log.dropped) == (101, 0)
        assert list(folder.iterdir()) == []
