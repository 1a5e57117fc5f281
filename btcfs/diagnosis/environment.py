"""Checks of what a program runs in: Python, packages, settings, secrets, proxies, disk."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from btcfs import __version__
from btcfs.config import Config, is_secret
from btcfs.diagnosis.value import Diagnosis
from btcfs.errors import ConfigError
from btcfs.settings import truth

GB = 1_000_000_000
_NEEDED = ("numpy", "pandas", "pyarrow", "duckdb", "pluggy")
_OPTIONAL = ("TA-Lib", "scikit-learn", "starlette", "ccxt", "hopsworks", "feast")
_LEAST_DISK, _LOW_DISK = 0.1, 1.0  # GB


def environment(environ: Mapping[str, str], folder: Path) -> Iterator[Diagnosis]:
    """What needs no settings."""
    yield _python()
    yield packages(_NEEDED, _OPTIONAL)
    yield _secret_file(folder)
    yield _proxies(environ)
    yield _disk(folder)
    yield _use_feature_store(environ)


def settings(config: Config) -> Iterator[Diagnosis]:
    """Where the settings in force come from."""
    changed = [f"{name} = {value} ({origin})" for name, value, origin in config.rows() if origin != "default"]
    yield Diagnosis("settings", True, "; ".join(changed) or "all settings have their defaults")


def key(config: Config, parameters: Iterable[str], environ: Mapping[str, str]) -> Diagnosis:
    """Whether each secret that the backend takes is there; its value is never shown."""
    secrets = [name for name in parameters if is_secret(name)]
    if not secrets:
        return Diagnosis("key", True, f"backend {config.backend} needs no key")
    missing = []
    for name in secrets:
        variable = f"{config.backend}_{name}".upper()
        if not (config.backends.get(config.backend, {}).get(name) or environ.get(variable)):
            missing.append((name, variable))
    if missing:
        name, variable = missing[0]
        return Diagnosis(
            "key",
            False,
            f"no {name} for backend {config.backend}",
            f"export {variable}=... or btcfs init --secret BTCFS_{variable}; in PowerShell $env:{variable} = '...'",
        )
    return Diagnosis("key", True, f"{', '.join(secrets)} is set")


def packages(needed: Iterable[str], optional: Iterable[str]) -> Diagnosis:
    """The versions that are installed."""
    found = {name: _version(name) for name in (*needed, *optional)}
    absent = [name for name in needed if found[name] is None]
    shown = ", ".join(f"{name} {number}" for name, number in found.items() if number is not None)
    if absent:
        return Diagnosis("packages", False, f"{', '.join(absent)} is missing; found {shown}", "pip install btcfs")
    return Diagnosis("packages", True, f"btcfs {__version__}, {shown}")


def _python() -> Diagnosis:
    shown = ".".join(str(part) for part in sys.version_info[:3])
    return Diagnosis("python", True, f"Python {shown} at {sys.executable}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _secret_file(folder: Path) -> Diagnosis:
    path = folder / ".env"
    if not path.is_file():
        return Diagnosis("env_file", True, "there is no .env file here")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) and sys.platform != "win32":
        return Diagnosis("env_file", False, f"{path} can be read by other users", f"chmod 600 {path}")
    if (folder / ".git").exists() and not _ignored(folder):
        return Diagnosis("env_file", False, f"{path} is not in .gitignore", "btcfs init adds it")
    return Diagnosis("env_file", True, f"{path} is for its owner alone")


def _ignored(folder: Path) -> bool:
    try:
        lines = (folder / ".gitignore").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    return any(line.strip() in (".env", "/.env", ".env*", "*.env") for line in lines)


def _proxies(environ: Mapping[str, str]) -> Diagnosis:
    values = {name.upper(): value for name, value in environ.items() if value}
    found = {name: values[name] for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY") if name in values}
    if "HTTPS_PROXY" in found or "ALL_PROXY" in found:
        shown = ", ".join(f"{name}={_without_password(value)}" for name, value in found.items())
        remedy = "hosts that are reached directly belong into NO_PROXY"
        return Diagnosis("proxies", None, f"connections go through a proxy: {shown}", remedy)
    return Diagnosis("proxies", True, "no proxy is set")


def _without_password(url: str) -> str:
    start, at, rest = url.rpartition("@")
    return f"{start.partition('//')[0]}//********@{rest}" if at else url


def _disk(folder: Path) -> Diagnosis:
    try:
        free = shutil.disk_usage(folder).free / GB
    except OSError as exc:
        return Diagnosis(
            "disk", False, f"{folder} cannot be looked at: {exc}", "run btcfs in a folder that you may use"
        )
    if free < _LEAST_DISK:
        return Diagnosis("disk", False, f"{free:.2f} GB are free in {folder}", "make room before the next write")
    return Diagnosis(
        "disk",
        True if free >= _LOW_DISK else None,
        f"{free:.1f} GB are free in {folder}",
        "" if free >= _LOW_DISK else "make room",
    )


def _use_feature_store(environ: Mapping[str, str]) -> Diagnosis:
    value = environ.get("USE_FEATURE_STORE", "")
    if not value:
        return Diagnosis("use_feature_store", True, "USE_FEATURE_STORE is not set: stored features are used")
    try:
        used = truth("USE_FEATURE_STORE", value)
    except ConfigError as exc:
        return Diagnosis(
            "use_feature_store", False, str(exc), "unset USE_FEATURE_STORE; BTCFS_BACKEND chooses the store"
        )
    return Diagnosis(
        "use_feature_store",
        True if used else None,
        f"USE_FEATURE_STORE is {'on' if used else 'off'}",
        "" if used else "unset it to predict from stored features",
    )


def backend_options(options: Mapping[str, Any]) -> str:
    """The options as a person may see them."""
    return ", ".join(f"{name}={'********' if is_secret(name) else value}" for name, value in options.items())
