"""The command ``btcfs``: a table of commands, its own and added ones, that are imported when they are called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from btcfs import __version__
from btcfs.cli import extensions
from btcfs.cli.failures import exit_code
from btcfs.cli.session import Session
from btcfs.errors import BtcfsError

# name -> (module that has the click command ``command``, help)
COMMANDS = {
    "ingest": ("btcfs.cli.ingest", "Fetch candles, compute features and commit them."),
    "train": ("btcfs.cli.train", "Train models on stored features, and judge them honestly."),
    "verify": ("btcfs.cli.verify", "Check that the store holds what it should; changes nothing."),
    "validate": ("btcfs.cli.validate", "Check candles by every rule; writes nothing."),
    "stats": ("btcfs.cli.stats", "Show the statistics of each commit."),
    "monitor": ("btcfs.cli.monitor", "Have the backend watch features for shifts, where it offers that."),
    "demo": ("btcfs.cli.demo", "Run the whole job on the sample market, with no network."),
    "models": ("btcfs.cli.models", "Show the trained models; choose the one that answers."),
    "serve": ("btcfs.cli.serve", "Answer predictions over HTTP."),
    "replay": ("btcfs.cli.replay", "Make a logged prediction again, bit for bit."),
    "bench": ("btcfs.cli.bench", "Measure a lookup against computing the features."),
    "features": ("btcfs.cli.features", "Show the features that are installed."),
    "store": (
        "btcfs.cli.store",
        "Show what a store holds; delete from it; rebuild its online table; sync its mirror; show its shadow.",
    ),
    "copy": ("btcfs.cli.copy", "Copy one store into another, verified, resumable."),
    "diff": ("btcfs.cli.diff", "Compare two stores; exit 1 if they differ."),
    "backends": ("btcfs.cli.backends", "Show the installed backends and what each can do."),
    "plugins": ("btcfs.cli.plugins", "Show and check the plugins that are installed."),
    "doctor": ("btcfs.cli.doctor", "Check installation, settings and store, with a remedy for each fault."),
    "init": ("btcfs.cli.init", "Write .env, btcfs.toml and .gitignore, as far as they lack something."),
    "config": ("btcfs.cli.config", "Show the settings with their origin; write a first btcfs.toml."),
}


class CommandTable(click.Group):
    """A group that imports a command when it is called, and lists them all without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *(name for name in extensions.names() if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return extensions.command(cmd_name)
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        added = [(name, f"From {owner}.") for name, owner in extensions.names().items() if name not in COMMANDS]
        if added:
            with formatter.section("Added commands"):
                formatter.write_dl(added)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error that btcfs raises on purpose is its one message and an exit code."""
        try:
            return super().invoke(ctx)
        except BtcfsError as exc:
            if ctx.params.get("debug"):
                raise
            click.echo(f"btcfs: {exc}", err=True)
            ctx.exit(exit_code(exc))


@click.group(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", metavar="FILE", help="Settings file instead of ./btcfs.toml.")
@click.option("--backend", metavar="NAME", help="Backend instead of the configured one.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="btcfs")
@click.pass_context
def main(ctx: click.Context, config_path: str | None, backend: str | None, debug: bool) -> None:
    """A feature store for Bitcoin machine learning.

    Exit codes: 0 done, 1 a check failed, 2 wrong usage or settings, 3 data refused,
    4 store busy or out of reach, 5 not found.
    """
    ctx.obj = Session(config_path=config_path, backend=backend, debug=debug)
