"""The rules of the registry: one active version, a gate before it, a way back, and nothing lost among processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from btcfs.errors import CheckFailed, NotFound, SchemaError, StoreBusy
from btcfs.training.gate import REQUIRED, GateCheck
from btcfs.training.manifest import locked, read_manifest
from btcfs.training.registry import Registry
from trained import VIEW, bundle

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

GREEN = [GateCheck(name, True, "as it should be") for name in REQUIRED]
TESTS = Path(__file__).parents[1]


def versions(folder: Path, count: int) -> list[str]:
    return [bundle(folder, "majority", "zero_return", seed=seed).version for seed in range(count)]


def statuses(folder: Path) -> dict[str, str]:
    return {one.version: one.status for one in Registry(folder).versions()}


def test_an_empty_folder(tmp_path: Path) -> None:
    """A folder without models has no version and none that is active, and asking changes nothing."""
    registry = Registry(tmp_path / "models")

    assert (registry.versions(), registry.active(), registry.active_version()) == ([], None, None)
    with pytest.raises(NotFound, match=r"no model version .*; there are: none"):
        registry.load("v20251206T120000Z")
    assert not (tmp_path / "models").exists()


def test_a_new_version_is_a_candidate(tmp_path: Path) -> None:
    """Saving a bundle activates nothing; versions come newest first."""
    made = versions(tmp_path, 3)

    assert [(one.version, one.status) for one in Registry(tmp_path).versions()] == [
        (version, "candidate") for version in reversed(made)
    ]
    assert Registry(tmp_path).active() is None
    assert Registry(tmp_path).versions()[0].models == {"classification": "majority", "regression": "zero_return"}


def test_activation(tmp_path: Path) -> None:
    """With every check passed the version becomes the active one, and its checks are recorded."""
    first, second = versions(tmp_path, 2)
    registry = Registry(tmp_path)

    registry.activate(first, checks=GREEN)
    registry.activate(second, checks=GREEN)

    active = registry.active()
    assert active is not None
    assert active.version == second
    assert statuses(tmp_path) == {first: "retired", second: "active"}
    assert [check["name"] for check in registry.show(second)["activations"][0]["checks"]] == list(REQUIRED)
    assert json.loads((tmp_path / "manifest.json").read_text())["active_version"] == second


@pytest.mark.parametrize("failing", [*REQUIRED, "something_else"])
def test_a_failed_check_shuts_the_gate(failing: str, tmp_path: Path) -> None:
    """A version of which a check failed stays a candidate, and the message says which and why."""
    (version,) = versions(tmp_path, 1)
    checks = [check for check in GREEN if check.name != failing] + [GateCheck(failing, False, "it rained")]

    with pytest.raises(CheckFailed, match=rf"stays a candidate: {failing} \(it rained\)"):
        Registry(tmp_path).activate(version, checks=checks)
    assert statuses(tmp_path) == {version: "candidate"}


def test_a_check_that_was_not_made_shuts_the_gate(tmp_path: Path) -> None:
    """To leave a required check out is no way through the gate."""
    (version,) = versions(tmp_path, 1)

    with pytest.raises(CheckFailed, match="data_checks \\(was not made\\)"):
        Registry(tmp_path).activate(version, checks=GREEN[:2])
    with pytest.raises(CheckFailed, match="beats_baseline"):
        Registry(tmp_path).activate(version, checks=[])


def test_force_records_its_reason(tmp_path: Path) -> None:
    """A forced activation keeps the reason beside the failed checks; without words there is no force."""
    (version,) = versions(tmp_path, 1)
    registry = Registry(tmp_path)
    with pytest.raises(CheckFailed, match="a reason in words"):
        registry.activate(version, checks=GREEN, force_reason="  ")

    registry.activate(version, checks=GREEN[:1], force_reason="a rehearsal")

    assert registry.active_version() == version
    assert registry.versions()[0].forced == "a rehearsal"
    assert read_manifest(tmp_path).activations[0].force_reason == "a rehearsal"


def test_no_reason_is_recorded_where_none_was_needed(tmp_path: Path) -> None:
    """A version that passes every check was not forced, whatever reason was given."""
    (version,) = versions(tmp_path, 1)

    Registry(tmp_path).activate(version, checks=GREEN, force_reason="to be sure")

    assert Registry(tmp_path).versions()[0].forced is None


def test_rollback(tmp_path: Path) -> None:
    """A rollback goes back to the version active before, a second one further, and the last one is refused."""
    first, second, third = versions(tmp_path, 3)
    registry = Registry(tmp_path)
    for version in (first, second, second, third):
        registry.activate(version, checks=GREEN)

    assert registry.rollback().version == second
    assert registry.rollback().version == first
    with pytest.raises(NotFound, match="no model was active before"):
        registry.rollback()
    registry.activate(third, checks=GREEN)
    assert registry.rollback().version == first
    assert [a.action for a in read_manifest(tmp_path).activations] == [
        *["activate"] * 3, "rollback", "rollback", "activate", "rollback",
    ]  # fmt: skip


def test_a_damaged_bundle_never_becomes_active(tmp_path: Path) -> None:
    """Activation and rollback load the bundle first; a damaged one leaves the running model where it is."""
    first, second, third = versions(tmp_path, 3)
    registry = Registry(tmp_path)
    registry.activate(first, checks=GREEN)
    registry.activate(second, checks=GREEN)
    for version in (first, third):
        (tmp_path / version / "reports" / "report.txt").write_text("evidence of skill")

    with pytest.raises(SchemaError, match="not the file that was saved"):
        registry.activate(third, checks=GREEN, force_reason="because")
    with pytest.raises(SchemaError, match="not the file that was saved"):
        registry.rollback()
    assert registry.active_version() == second


def test_a_bundle_swapped_for_another(tmp_path: Path) -> None:
    """A folder that holds a sound bundle, but not the one that was saved there, is refused by the manifest's digest."""
    (version,) = versions(tmp_path / "a", 1)
    bundle(tmp_path / "b", version=version)
    for path in (tmp_path / "b" / version).rglob("*.*"):
        (tmp_path / "a" / version / path.relative_to(tmp_path / "b" / version)).write_bytes(path.read_bytes())
    (tmp_path / "a" / version / "SHA256SUMS").write_bytes((tmp_path / "b" / version / "SHA256SUMS").read_bytes())

    with pytest.raises(SchemaError, match="not the bundle that the manifest lists"):
        Registry(tmp_path / "a").load(version)


@pytest.mark.parametrize("version", ["../v20251206T120000Z", "..", "v20251206T120000Z/../x", "/etc", "datasets", ""])
def test_a_version_leads_nowhere_else(version: str, tmp_path: Path) -> None:
    """What is not a version's name is not looked up in the file system."""
    versions(tmp_path, 1)
    registry = Registry(tmp_path)

    for ask in (registry.load, registry.show, lambda v: registry.activate(v, checks=GREEN)):
        with pytest.raises(NotFound, match="not a model version"):
            ask(version)


def test_a_manifest_that_points_elsewhere(tmp_path: Path) -> None:
    """A manifest whose path leads out of the models folder is refused."""
    (version,) = versions(tmp_path, 1)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace(f'"path": "{version}"', '"path": "../elsewhere"'))

    with pytest.raises(SchemaError, match="expected its own folder"):
        Registry(tmp_path).load(version)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"versions": 3}', '{"versions": [{}], "activations": []}', "\x00"])
def test_a_manifest_that_is_none(text: str, tmp_path: Path) -> None:
    """A manifest that was damaged is refused in words."""
    versions(tmp_path, 1)
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(SchemaError, match=r"manifest\.json is not"):
        Registry(tmp_path).versions()


def test_a_manifest_edited_by_hand(tmp_path: Path) -> None:
    """An active version that was written in by hand, past the gate, is refused."""
    (version,) = versions(tmp_path, 1)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace('"active_version": null', f'"active_version": "{version}"'))

    with pytest.raises(SchemaError, match="instead of an editor"):
        Registry(tmp_path).active()


def test_a_bundle_that_was_never_listed(tmp_path: Path) -> None:
    """A bundle whose process died before it could list it is a candidate all the same, and stays one."""
    first, second = versions(tmp_path, 2)
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    content["versions"].pop()
    path.write_text(json.dumps(content))

    assert statuses(tmp_path) == {first: "candidate", second: "candidate"}
    Registry(tmp_path).activate(second, checks=GREEN)
    assert {entry.version for entry in read_manifest(tmp_path).entries} == {first, second}


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """A version whose folder was removed is listed as missing, and is not found when it is asked for."""
    first, second = versions(tmp_path, 2)
    (tmp_path / first).rename(tmp_path / "kept-elsewhere")

    assert statuses(tmp_path) == {first: "missing", second: "candidate"}
    with pytest.raises(NotFound, match="holds no model bundle"):
        Registry(tmp_path).load(first)


def test_the_folder_can_be_moved(tmp_path: Path) -> None:
    """A models folder works wherever it is put: all its paths are relative."""
    (version,) = versions(tmp_path / "here", 1)
    Registry(tmp_path / "here").activate(version, checks=GREEN)

    (tmp_path / "here").rename(tmp_path / "there")

    active = Registry(tmp_path / "there").active()
    assert active is not None
    assert (active.version, active.view) == (version, VIEW)


def test_concurrent_trainings_lose_nothing(tmp_path: Path) -> None:
    """Processes that save at the same time, within one second, each get a version of their own, and all are listed."""
    code = "import sys; from pathlib import Path; from trained import bundle\n"
    code += "for seed in range(5): print(bundle(Path(sys.argv[1]), 'majority', 'zero_return', seed=seed).version)"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", code, str(tmp_path)]

    running = [
        subprocess.Popen(command, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    done = [(process.communicate(timeout=120), process.returncode) for process in running]

    assert [code for (_, errors), code in done] == [0] * 3, done
    made = [version for (out, _), _ in done for version in out.split()]
    assert len(set(made)) == 15
    assert {entry.version for entry in read_manifest(tmp_path).entries} == set(made)
    for version in made:
        Registry(tmp_path).load(version)


def test_readers_never_see_half_a_manifest(tmp_path: Path) -> None:
    """While versions are activated by turns, every reader sees one of them as the active one, whole."""
    first, second = versions(tmp_path, 2)
    registry = Registry(tmp_path)
    registry.activate(first, checks=GREEN)
    seen: list[str | None] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.append(Registry(tmp_path).active_version())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        registry.activate(second, checks=GREEN)
        registry.activate(first, checks=GREEN)
    stop.set()
    watcher.join()

    assert set(seen) <= {first, second}
    assert len(read_manifest(tmp_path).activations) == 41


def test_the_lock_is_waited_for_with_bounds(tmp_path: Path) -> None:
    """Whoever waits for the lock too long is told who may hold it, instead of waiting for ever."""
    with locked(tmp_path), pytest.raises(StoreBusy, match="another process holds"), locked(tmp_path, patience=0.1):
        pass


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    """A process that was killed while it held the lock keeps nobody out, and its half-written bundle is cleared away."""
    code = (
        "import sys, os, signal; from pathlib import Path; from btcfs.training.manifest import locked\n"
        "folder = Path(sys.argv[1])\n"
        "with locked(folder): (folder / '.draft-x').mkdir(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / ".draft-x").is_dir()

    versions(tmp_path, 1)

    assert not (tmp_path / ".draft-x").exists()
