"""Commands that other distributions add: found without being imported, and named when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from btcfs.cli import COMMANDS
from distributions import btcfs, install

GOOD = """
import click

@click.command()
@click.argument("word")
def command(word):
    click.echo(f"said {word}")
"""


def test_an_added_command_runs(tmp_path: Path) -> None:
    """A distribution's click command is a command of btcfs, with its arguments."""
    install(tmp_path, "btcfs-say", "btcfs_say", GOOD, btcfs__commands="say=btcfs_say:command")

    done = btcfs("say", "hello", site=tmp_path)

    assert (done.returncode, done.stdout) == (0, "said hello\n")


def test_listing_imports_no_added_command(tmp_path: Path) -> None:
    """--help lists added commands with their distribution; one that cannot be imported hides no other."""
    install(
        tmp_path,
        "btcfs-broken",
        "btcfs_broken",
        "import nothing_like_this",
        btcfs__commands="broken=btcfs_broken:command",
    )

    done = btcfs("--help", site=tmp_path)

    assert done.returncode == 0
    assert "broken" in done.stdout
    assert "From btcfs-broken." in done.stdout
    assert [name for name in COMMANDS if name not in done.stdout] == []


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import nothing_like_this", "nothing_like_this"),
        ("", "command"),
        ("command = 3", "int; expected a click command"),
    ],
)
def test_a_failing_command_is_named(tmp_path: Path, code: str, what: str) -> None:
    """A command that cannot be loaded is one message with its name, its distribution and what is wrong."""
    install(tmp_path, "btcfs-broken", "btcfs_broken", code, btcfs__commands="broken=btcfs_broken:command")

    done = btcfs("broken", site=tmp_path)

    assert done.returncode == 2
    assert "command 'broken' of btcfs-broken (btcfs_broken:command)" in done.stderr
    assert what in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_added_twice_is_refused(tmp_path: Path) -> None:
    """Two distributions that add one name are both named."""
    for name in ("one", "two"):
        install(tmp_path, f"btcfs-{name}", f"btcfs_{name}", GOOD, btcfs__commands=f"say=btcfs_{name}:command")

    done = btcfs("say", "hello", site=tmp_path)

    assert done.returncode == 2
    assert "btcfs-one" in done.stderr
    assert "btcfs-two" in done.stderr


def test_a_command_of_btcfs_cannot_be_replaced(tmp_path: Path) -> None:
    """A distribution that adds a name of btcfs's own does not get it."""
    install(tmp_path, "btcfs-say", "btcfs_say", GOOD, btcfs__commands="backends=btcfs_say:command")

    done = btcfs("backends", "--json", site=tmp_path)

    assert done.returncode == 0
    assert "said" not in done.stdout
