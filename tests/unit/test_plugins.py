"""The rules by which plugins are loaded, refused, blocked and asked; with distributions that are really installed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from btcfs.definitions import Feature, FeatureGroup
from btcfs.errors import ConfigError, DefinitionError, NotFound, SchemaError
from btcfs.hookspecs import hookimpl
from btcfs.indicators import indicator
from btcfs.plugins import Plugins
from btcfs.sources import SourceKind
from btcfs.store import WriteReport
from distributions import btcfs, install, run

INDICATOR = """
from btcfs import hookimpl, indicator

@indicator(lookback=0)
def {name}(close):
    '''Twice the close.'''
    return close * 2.0

@hookimpl
def btcfs_indicators():
    return [{name}]
"""
LIST = "from btcfs.plugins import installed_plugins; print([i.name for i in installed_plugins().indicators()])"
GROUP = FeatureGroup("g", 1, [Feature("x")])
REPORT = WriteReport("g", 1, 1, 0, 0)


def plugin(**hooks: Any) -> SimpleNamespace:
    """A plugin object whose attributes are hook implementations."""
    return SimpleNamespace(**{name: hookimpl(function) for name, function in hooks.items()})


def only(**plugins: Any) -> Plugins:
    """These plugins beside the shipped ones, which are blocked."""
    loaded = Plugins(blocked=("ta", "sources", "models"))
    for name, item in plugins.items():
        loaded.register(item, name)
    return loaded


@indicator(lookback=0)
def doubled(close: Any) -> Any:
    """Twice the close."""
    return close * 2.0


def test_a_blocked_plugins_name_may_be_taken() -> None:
    """A program may put a plugin of its own in the place of a blocked one; it is asked once."""
    loaded = only(ta=plugin(btcfs_indicators=lambda: [doubled]))

    assert [(name, item.name) for name, item in loaded.owned_indicators()] == [("ta", "doubled")]


def test_a_strangers_indicator_takes_part(tmp_path: Path) -> None:
    """An installed distribution with an entry point takes part without being named anywhere."""
    install(tmp_path, "btcfs-twice", "btcfs_twice", INDICATOR.format(name="twice"), btcfs="twice")

    listed = json.loads(btcfs("features", "list", "--json", site=tmp_path).stdout)

    assert [row["plugin"] for row in listed if row["feature"] == "twice"] == ["twice"]


def test_two_plugins_with_one_feature_name_both_plugins(tmp_path: Path) -> None:
    """A feature that two plugins give is an error that names the feature and both plugins."""
    for name in ("one", "two"):
        install(tmp_path, f"btcfs-{name}", f"btcfs_{name}", INDICATOR.format(name="same"), btcfs=name)

    failed = run(LIST, tmp_path)

    assert "DefinitionError" in failed.stderr
    assert all(word in failed.stderr for word in ("'same'", "'one'", "'two'", "BTCFS_BLOCK_PLUGINS"))
    assert "same" in run(LIST, tmp_path, BTCFS_BLOCK_PLUGINS="one").stdout


def test_two_plugins_with_one_name(tmp_path: Path) -> None:
    """Two plugins with one name are an error that names both distributions and says to uninstall one."""
    for name in ("one", "two"):
        install(tmp_path, f"btcfs-{name}", f"btcfs_{name}", INDICATOR.format(name=name), btcfs="taken")

    failed = run(LIST, tmp_path)

    assert "ConfigError" in failed.stderr
    assert all(word in failed.stderr for word in ("'taken'", "btcfs-one", "btcfs-two", "Uninstall one"))


def test_one_module_under_two_names(tmp_path: Path) -> None:
    """A module announced twice under two names is an error and not two plugins."""
    install(tmp_path, "btcfs-one", "btcfs_one", INDICATOR.format(name="one"), btcfs="one")
    install(tmp_path, "btcfs-two", "btcfs_two", "", btcfs="two=btcfs_one")

    failed = run(LIST, tmp_path)

    assert "ConfigError" in failed.stderr
    assert "'two' from btcfs-two" in failed.stderr


def test_a_misspelt_hook(tmp_path: Path) -> None:
    """A hook implementation of an unknown name is an error that names the plugin and the name."""
    code = INDICATOR.format(name="one").replace("btcfs_indicators", "btcfs_indicator")
    install(tmp_path, "btcfs-one", "btcfs_one", code, btcfs="one")

    failed = run(LIST, tmp_path)

    assert "ConfigError" in failed.stderr
    assert all(word in failed.stderr for word in ("'one'", "btcfs-one", "btcfs_indicator'"))


def test_a_hook_with_an_unknown_argument(tmp_path: Path) -> None:
    """A hook implementation that asks for an argument the hook has not is an error naming the plugin."""
    code = "from btcfs import hookimpl\n@hookimpl\ndef btcfs_committed(group, raport): pass\n"
    install(tmp_path, "btcfs-one", "btcfs_one", code, btcfs="one")

    failed = run(LIST, tmp_path)

    assert "ConfigError" in failed.stderr
    assert all(word in failed.stderr for word in ("'one'", "raport"))


@pytest.mark.parametrize("code", ["import no_such_module", "1 / 0", "def broken(:"])
def test_a_plugin_that_fails_on_import(tmp_path: Path, code: str) -> None:
    """A plugin that fails on import fails loudly when features are needed, naming it, the cause and the remedy."""
    install(tmp_path, "btcfs-bad", "btcfs_bad", code, btcfs="bad")

    failed = run(LIST, tmp_path)
    went_on = run(LIST, tmp_path, BTCFS_BLOCK_PLUGINS="bad")

    assert "ConfigError: plugin 'bad' from btcfs-bad (btcfs_bad) could not be loaded" in failed.stderr
    assert any(cause in failed.stderr for cause in ("no_such_module", "division by zero", "SyntaxError"))
    assert "BTCFS_BLOCK_PLUGINS=bad" in failed.stderr
    assert went_on.returncode == 0


def test_the_list_works_when_a_plugin_fails(tmp_path: Path) -> None:
    """btcfs plugins list shows a failed and a blocked plugin with the cause beside those that work."""
    install(tmp_path, "btcfs-bad", "btcfs_bad", "1 / 0", btcfs="bad")
    install(tmp_path, "btcfs-off", "btcfs_off", "1 / 0", btcfs="off")

    listed = btcfs("plugins", "list", "--json", site=tmp_path, BTCFS_BLOCK_PLUGINS="off")
    text = btcfs("plugins", "list", site=tmp_path)

    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert listed.returncode == text.returncode == 0
    assert rows["bad"]["error"] == "ZeroDivisionError: division by zero"
    assert (rows["off"]["blocked"], rows["off"]["error"]) == (True, None)
    assert rows["ta"]["error"] is None
    assert "FAILED ZeroDivisionError: division by zero" in text.stdout


def test_the_shipped_plugins_come_first(tmp_path: Path) -> None:
    """Plugins are ordered by name, those of btcfs itself first, so that the order of features is everywhere the same."""
    for name in ("aaa", "zzz"):
        install(tmp_path, f"btcfs-{name}", f"btcfs_{name}", INDICATOR.format(name=name), btcfs=name)

    rows = json.loads(btcfs("plugins", "list", "--json", site=tmp_path).stdout)

    own = [row["name"] for row in rows if row["distribution"] == "btcfs"]
    assert [row["name"] for row in rows] == [*sorted(own), "aaa", "zzz"]


def test_check_of_an_unknown_a_failed_and_a_blocked_plugin(tmp_path: Path) -> None:
    """plugins check exits with 5 for an unknown name and with 1 for a plugin that does not load."""
    install(tmp_path, "btcfs-bad", "btcfs_bad", "1 / 0", btcfs="bad")

    unknown = btcfs("plugins", "check", "bat", site=tmp_path)
    failed = btcfs("plugins", "check", "bad", site=tmp_path)
    blocked = btcfs("plugins", "check", "bad", "--json", site=tmp_path, BTCFS_BLOCK_PLUGINS="bad")

    assert (unknown.returncode, failed.returncode, blocked.returncode) == (5, 1, 1)
    assert "did you mean bad?" in unknown.stderr
    assert "division by zero" in failed.stderr
    assert json.loads(blocked.stdout)["blocked"] is True


def test_a_hook_that_raises_is_named() -> None:
    """An error inside a hook names the plugin, the hook and the cause."""

    def raising() -> Any:
        raise KeyError("lost")

    with pytest.raises(ConfigError, match=r"'odd'.*btcfs_indicators raised KeyError: 'lost'.*BTCFS_BLOCK_PLUGINS=odd"):
        only(odd=plugin(btcfs_indicators=raising)).indicators()


def test_a_hook_that_gives_something_else_is_refused() -> None:
    """A hook that gives what it should not is refused with the plugin and the thing."""
    with pytest.raises(DefinitionError, match=r"'odd': btcfs_indicators gave 3"):
        only(odd=plugin(btcfs_indicators=lambda: [3])).indicators()


def test_sources_and_models_clash_too() -> None:
    """A source name that two plugins give names both."""
    kind = SourceKind("tape", lambda: None)

    with pytest.raises(DefinitionError, match=r"source 'tape'.*'one'.*'two'"):
        only(one=plugin(btcfs_sources=lambda: [kind]), two=plugin(btcfs_sources=lambda: [kind])).sources()


def test_contributions_of_one_plugin_whatever_the_others_do() -> None:
    """What one plugin gives can be asked for although another is broken."""
    loaded = only(one=plugin(btcfs_indicators=lambda: [doubled]), bad=plugin(btcfs_nothing=lambda: []))

    assert [item.name for item in loaded.contributions("one").indicators] == ["doubled"]
    with pytest.raises(ConfigError, match="'bad'"):
        loaded.indicators()
    with pytest.raises(NotFound, match="did you mean one"):
        loaded.contributions("onee")


def test_validators_may_refuse_rows() -> None:
    """A SchemaError of a plugin's btcfs_validate reaches the caller with the plugin's name; the rows are passed on."""
    seen = []

    def refusing(rows: Any) -> None:
        seen.append(rows)
        raise SchemaError("too round")

    with pytest.raises(SchemaError, match=r"'odd' refuses the rows for g v1: too round"):
        only(odd=plugin(btcfs_validate=refusing)).validate(GROUP, "rows")
    assert seen == ["rows"]


def test_a_validator_that_breaks_is_named() -> None:
    """Any other error of a plugin's btcfs_validate is a ConfigError that names the plugin."""

    def breaking(group: Any, rows: Any) -> None:
        raise KeyError("lost")

    with pytest.raises(ConfigError, match=r"'odd'.*btcfs_validate raised KeyError"):
        only(odd=plugin(btcfs_validate=breaking)).validate(GROUP, "rows")


def test_an_observer_that_breaks_does_not_undo_the_commit(caplog: pytest.LogCaptureFixture) -> None:
    """Every observer hears of a commit; one that raises is logged and reported, and stops no other."""
    seen = []

    def breaking(report: Any) -> None:
        raise KeyError("lost")

    def hearing(group: Any, report: Any) -> None:
        seen.append((group, report))

    failures = only(a=plugin(btcfs_committed=breaking), b=plugin(btcfs_committed=hearing)).committed(GROUP, REPORT)

    assert seen == [(GROUP, REPORT)]
    assert len(failures) == 1
    assert "'a'" in failures[0]
    assert failures[0] in caplog.text
