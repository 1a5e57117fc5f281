"""Every command line of the integration guide, run as btcfs has it, in the order in which it works."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from btcfs.cli import main
from commandline import Run, parsed
from guide import blocks

pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")

SCRIPTS = {"python scripts/ingest_features.py": "ingest", "python src/train_with_feature_store.py": "train"}
# Lines that are not run as they stand, by how they begin, and where what they are for is tested.
ELSEWHERE = {
    "pip install -r requirements.txt": "there is no such file; the extras of pyproject.toml, installed by CI",
    "$env:": "PowerShell; the same variables in the shell's way below",
    "echo $env:": "PowerShell; btcfs config shows settings with their origin",
    "export HOPSWORKS_API_KEY": "run below",
    'echo "HOPSWORKS_API_KEY': "run below",
    "uvicorn api.main:app": "btcfs serve, in test_serve.py",
    "curl -X POST": "sent to btcfs serve in test_serve.py, and to the guide's own route in test_guide_blocks.py",
    'python -c "': "needs a Hopsworks account, or is in test_guide_blocks.py",
}


def command_lines() -> list[str]:
    """The guide's shell lines, each once, without comments, the inside of quoted programs and continuations."""
    found, inside = [], False
    for block in blocks("bash"):
        continued = False
        for line in block.code.splitlines():
            if not inside and not continued and line and not line.startswith(("#", " ", "}")):
                found.append(line)
            inside ^= line.count('"') % 2 == 1
            continued = line.endswith("\\") or (continued and not line.endswith("}'"))
    return list(dict.fromkeys(found))


def as_btcfs(line: str) -> list[str] | None:
    """The words after ``btcfs`` for a line of the guide that runs one of its scripts."""
    for script, command in SCRIPTS.items():
        before, found, rest = line.partition(script)
        if found and not before.rstrip().endswith("python -c"):
            return [command, *shlex.split(rest)]
    return None


def test_every_line_is_run_or_said_why_not() -> None:
    """Each shell line of the guide is a command of btcfs or stands in the table."""
    left = [line for line in command_lines() if as_btcfs(line) is None]

    assert [line for line in left if not line.startswith(tuple(ELSEWHERE))] == []
    assert [known for known in ELSEWHERE if not any(line.startswith(known) for line in left)] == []


def test_the_lines_run(run: Run) -> None:
    """The guide's ingest and train lines exit with 0 once there are data, whatever options they have."""
    Path("btcfs.toml").write_text('[source]\nname = "sample"\n', encoding="utf-8")
    lines = [words for words in map(as_btcfs, command_lines()) if words is not None]
    order = ("historical", "create-view", "daily", "verify")

    def step(words: list[str]) -> int:
        return next((n for n, mode in enumerate(order) if mode in words), len(order))

    assert run("ingest", "--mode", "verify", code=1).exit_code == 1  # the guide verifies an empty store first
    for words in sorted(lines, key=step):
        assert "COMPLETE" in run(*words).output or "create-view" in words

    assert len(lines) == 10
    assert len(parsed(run("models", "list", "--json"))["versions"]) == 2


def test_the_key_of_the_guide_disturbs_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell and a .env file with the guide's key are no error, and the key is not shown."""
    [block] = [b for b in blocks("bash") if "export HOPSWORKS_API_KEY" in b.code]
    lines = [line for line in block.code.splitlines() if not line.startswith("$env")]
    subprocess.run(["bash", "-c", "\n".join(lines)], check=True)
    Path(".env").chmod(0o600)
    monkeypatch.setenv("HOPSWORKS_API_KEY", "your-api-key-here")

    shown = run("config", "show").output

    assert "your-api-key-here" in Path(".env").read_text(encoding="utf-8")
    assert "your-api-key-here" not in shown


def test_the_modes_of_the_guide_are_commands() -> None:
    """What --mode names in the guide exists."""
    ingest = main.get_command(None, "ingest")
    modes = {
        words[words.index("--mode") + 1] for words in map(as_btcfs, command_lines()) if words and "--mode" in words
    }

    assert modes == {"historical", "daily", "create-view", "verify"}
    assert modes <= set(ingest.commands)
