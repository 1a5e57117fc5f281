"""The rules by which connect() finds a backend, checks its options and opens it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from btcfs.config import Config
from btcfs.connection import connect
from btcfs.errors import ConfigError
from distributions import btcfs, install, run

BACKEND = """
from __future__ import annotations
from pathlib import Path

class Store:
    name = "probe"
    capabilities = frozenset()
    def __init__(self, **given): self.given = given

def connect(path: str | Path = "here", *, timeout: float = 1.0, size: int | None = None, strict: bool = False,
            api_key: str = "", defaults=None):
    return Store(path=path, timeout=timeout, size=size, strict=strict, api_key=api_key, defaults=defaults)
"""
SHOW = "from btcfs import connect; s = connect('probe'); print(s.given)"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    install(tmp_path, "btcfs-probe", "btcfs_probe", BACKEND, btcfs__backends="probe=btcfs_probe:connect")
    return tmp_path


def test_unknown_backend_names_the_installed_and_the_nearest() -> None:
    """An unknown backend is refused with the installed ones and the nearest of them."""
    with pytest.raises(ConfigError, match=r"no backend named 'ducdb'; installed: .*duckdb.*; did you mean duckdb\?"):
        connect("ducdb", config=Config())


def test_the_configured_backend_is_opened(site: Path) -> None:
    """Without a name the configured backend is opened, and its connect gets the configured symbol as default."""
    shown = run("from btcfs import connect; print(connect().given)", site, BTCFS_BACKEND="probe", BTCFS_SYMBOL="X-Y")

    assert "'defaults': {'symbol': 'X-Y'}" in shown.stdout


def test_options_from_variables_become_the_annotated_type(site: Path) -> None:
    """A variable's text is turned into the type that the backend's connect declares."""
    shown = run(
        SHOW,
        site,
        BTCFS_PROBE_PATH="7",
        BTCFS_PROBE_TIMEOUT="2.5",
        BTCFS_PROBE_SIZE="3",
        BTCFS_PROBE_STRICT="yes",
    )

    assert shown.stdout.startswith("{'path': '7', 'timeout': 2.5, 'size': 3, 'strict': True,")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("BTCFS_PROBE_TIMEOUT", "soon", "'soon', expected float"),
        ("BTCFS_PROBE_STRICT", "maybe", "'maybe', expected bool"),
        ("BTCFS_PROBE_SIZE", "2.5", "'2.5', expected int"),
        ("BTCFS_PROBE_TIMEOUTT", "1", "no option 'timeoutt'"),
    ],
)
def test_wrong_options_are_refused(site: Path, variable: str, value: str, expected: str) -> None:
    """An option of another type or name is refused with the backend, the option and what was expected."""
    failed = run(SHOW, site, **{variable: value})

    assert "ConfigError" in failed.stderr
    assert "'probe'" in failed.stderr
    assert expected in failed.stderr


def test_an_unknown_option_names_the_known(site: Path) -> None:
    """An unknown argument is refused with the options that there are and the nearest."""
    failed = run("from btcfs import connect; connect('probe', pth='x')", site)

    assert "no option 'pth'; it has path, timeout, size, strict, api_key; did you mean path?" in failed.stderr


def test_an_argument_goes_before_the_configuration(site: Path) -> None:
    """An option given to connect replaces the configured one."""
    shown = run("from btcfs import connect; print(connect('probe', path='a').given)", site, BTCFS_PROBE_PATH="e")

    assert shown.stdout.startswith("{'path': 'a'")


def test_a_secret_may_be_a_callable(site: Path) -> None:
    """A secret option may be a function, called when the store is opened."""
    shown = run("from btcfs import connect; print(connect('probe', api_key=lambda: 'hush').given)", site)

    assert "'api_key': 'hush'" in shown.stdout


def test_two_backends_with_one_name(site: Path) -> None:
    """A backend name that two distributions announce is refused with both."""
    install(site, "btcfs-other", "btcfs_other", BACKEND, btcfs__backends="probe=btcfs_other:connect")

    failed = run(SHOW, site)

    assert "ConfigError" in failed.stderr
    assert all(word in failed.stderr for word in ("btcfs-probe", "btcfs-other", "uninstall one"))


def test_a_backend_that_cannot_be_imported(site: Path) -> None:
    """A backend whose import fails is refused with its distribution and the cause; the list shows it and goes on."""
    install(site, "btcfs-bad", "btcfs_bad", "import no_such_sdk", btcfs__backends="bad=btcfs_bad:connect")

    failed = run("from btcfs import connect; connect('bad')", site)
    listed = json.loads(btcfs("backends", "--json", site=site).stdout)

    assert all(word in failed.stderr for word in ("ConfigError", "'bad' from btcfs-bad", "no_such_sdk"))
    rows = {row["name"]: row for row in listed}
    assert rows["bad"]["loadable"] is False
    assert rows["probe"]["options"] == ["path", "timeout", "size", "strict", "api_key"]
    assert rows["duckdb"]["configured"] is True


def test_only_the_opened_backend_is_imported(site: Path) -> None:
    """Opening one backend imports no other."""
    install(site, "btcfs-bad", "btcfs_bad", "raise SystemExit('imported')", btcfs__backends="bad=btcfs_bad:connect")

    assert run(SHOW, site).returncode == 0
