"""The commands that show and check the installed plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from btcfs.cli import console
from btcfs.cli.failures import CHECK_FAILED
from btcfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from btcfs.plugins import PluginInfo, Plugins


@click.group(name="plugins")
def command() -> None:
    """Show and check the plugins that are installed."""


@command.command(name="list")
@console.json_option
@pass_session
def list_plugins(session: Session, as_json: bool) -> None:
    """Show every plugin, the ones that failed and why, and the blocked ones."""
    found = session.plugins.installed
    rows = [(info.name, info.distribution, info.module, _state(info)) for info in found]
    columns = ("plugin", "distribution", "module", "state")
    console.show([i.to_dict() for i in found], as_json, lambda: console.table(columns, rows))


@command.command()
@click.argument("name")
@console.json_option
@pass_session
@click.pass_context
def check(ctx: click.Context, session: Session, name: str, as_json: bool) -> None:
    """Load one plugin and certify its indicators and models; exit code 1 if something is wrong.

    Models are fitted as they are by default, so large ones take their time.
    """
    value = _checked(session.plugins, name)
    console.show(value, as_json, lambda: _show_check(value))
    if not value["ok"]:
        ctx.exit(CHECK_FAILED)


def _state(info: PluginInfo) -> str:
    if info.blocked:
        return "blocked"
    return "loaded" if info.error is None else f"FAILED {info.error}"


def _checked(plugins: Plugins, name: str) -> dict[str, Any]:
    info = plugins.info(name)
    result: dict[str, Any] = {**info.to_dict(), "ok": False, "indicators": {}, "sources": [], "models": {}}
    if info.error is not None or info.blocked:
        return result
    from btcfs.testing.indicators import certify
    from btcfs.testing.model_laws import certify_model

    content = plugins.contributions(name)
    # Two indicators may be one function with other parameters; the feature they give tells them apart.
    result["indicators"] = {item.outputs[0].name: certify(item) for item in content.indicators}
    result["sources"] = [source.name for source in content.sources]
    with console.progress("certifying models") as advance:
        for model in content.models:
            result["models"][model.name] = certify_model(model)
            advance(1)
    result["ok"] = not any([*result["indicators"].values(), *result["models"].values()])
    return result


def _show_check(value: dict[str, Any]) -> None:
    if value["blocked"]:
        console.failure(f"{value['name']} is blocked by the setting block_plugins, so it was not loaded")
    elif value["error"] is not None:
        console.failure(f"{value['name']} from {value['distribution']} ({value['module']}): {value['error']}")
    for name, problems in [*value["indicators"].items(), *value["models"].items()]:
        if problems:
            console.failure(f"{name}: {'; '.join(problems)}")
        else:
            console.done(name)
    if value["sources"]:
        console.line(f"sources: {', '.join(value['sources'])}")
    if value["ok"]:
        console.done(f"{value['name']} from {value['distribution']} is as it should be")
