"""``btcfs hopsworks-emulator``: the emulator as a process of its own, until it is told to stop."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import click

from btcfs.cli.console import json_option, line, show_json
from btcfs.errors import ConfigError, StoreUnavailable


@click.command("hopsworks-emulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address that no other emulator uses.")
@click.option("--port", default=0, metavar="N", help="Port of REST; a free one if not given.")
@click.option("--project", "projects", multiple=True, metavar="NAME", help="A project; may be given several times.")
@click.option("--api-key", default="emulator.local.key", show_default=True, help="The only key it accepts.")
@click.option("--mysql", metavar="USER:PASSWORD@HOST:PORT", help="A real MariaDB or MySQL instead of the stand-in.")
@click.option("--kafka", metavar="HOST:PORT", help="A real Kafka-compatible broker instead of the mock.")
@click.option("--job-delay", type=float, metavar="SECONDS", help="How long every job waits before its work.")
@click.option("--online-lag", type=float, metavar="SECONDS", help="How long rows take to be online.")
@click.option("--knob", "settings", multiple=True, metavar="NAME=VALUE", help="Another knob, such as flight_down=true.")
@click.option("--fault", "faults", multiple=True, metavar="KIND@WHERE[*TIMES]", help="A fault, such as status@rest *.")
@click.option("--env-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the export lines here too.")
@json_option
def command(
    host: str,
    port: int,
    projects: tuple[str, ...],
    api_key: str,
    mysql: str | None,
    kafka: str | None,
    job_delay: float | None,
    online_lag: float | None,
    settings: tuple[str, ...],
    faults: tuple[str, ...],
    env_file: Path | None,
    as_json: bool,
) -> None:
    """A local Hopsworks for tests and development.

    Prints the environment that makes hopsworks.login() find it, and runs until it is interrupted.
    Knobs can also be set while it runs: PUT https://HOST:PORT/_emulator/knobs.
    """
    emulator = _emulator()(
        host=host,
        port=port,
        projects=projects or ("bitcoin_ml_pipeline",),
        api_key=api_key,
        mysql=mysql,
        kafka=kafka,
    )
    _turn(emulator.knobs, job_delay, online_lag, settings, faults)
    stopped = threading.Event()
    try:
        emulator.start()
    except OSError as exc:
        raise StoreUnavailable(
            f"the emulator cannot start on {host}: {exc}; give it an address of its own with --host 127.0.0.2"
        ) from exc
    # Set after the start, since servers that it starts set handlers of their own.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        _announce(emulator, env_file, as_json)
        # A signal that another thread receives does not wake an endless wait of this one.
        while not stopped.wait(0.2):
            pass
    finally:
        emulator.stop()


def _emulator() -> Any:
    """The class, imported here because listing commands must not import servers. ConfigError without the extra."""
    try:
        from btcfs_hopsworks.emulator.application import Emulator
    except ImportError as exc:
        raise ConfigError(f"the emulator needs {exc.name}; install btcfs[hopsworks-emulator]") from exc
    return Emulator


def _turn(
    knobs: Any, job_delay: float | None, online_lag: float | None, settings: tuple[str, ...], faults: tuple[str, ...]
) -> None:
    wanted: dict[str, Any] = {
        name: value for name, value in (("job_delay", job_delay), ("online_lag", online_lag)) if value is not None
    }
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--knob {setting!r}: expected NAME=VALUE")
        wanted[name] = _value(value)
    try:
        knobs.change(wanted)
        for text in faults:
            kind, _, where = text.partition("@")
            pattern, star, times = where.rpartition("*")
            counted = bool(star) and times.isdigit()
            knobs.add(kind, (pattern if counted else where) or "rest *", times=int(times) if counted else 1)
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _announce(emulator: Any, env_file: Path | None, as_json: bool) -> None:
    environment = dict(emulator.environment())
    exports = [f"export {name}='{value}'" for name, value in environment.items()]
    if env_file is not None:
        env_file.write_text("\n".join(exports) + "\n")
    if as_json:
        show_json({"url": emulator.url, "ca_certificate": str(emulator.ca_certificate), "environment": environment})
        return
    for export in exports:
        line(export)
    line(f"# REST at {emulator.url}; knobs and calls at {emulator.url}/_emulator/knobs and /calls; Ctrl-C stops it")
