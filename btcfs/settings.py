"""Raw settings by dotted name, as a file, a .env and the environment hold them."""

from __future__ import annotations

import logging
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from btcfs.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "BTCFS_"
SECTIONS = ("source", "fallback", "engine")  # each a name with options of its own
# Of these, the first names the file, three are for btcfs's own tests, and one is a secret that only btcfs serve reads.
_NOT_SETTINGS = ("BTCFS_CONFIG", "BTCFS_SHARED_DATA", "BTCFS_SHARED_DOCS", "BTCFS_TEST_PROFILE", "BTCFS_ADMIN_TOKEN")
_SECRET = re.compile(r"key|token|secret|password", re.IGNORECASE)

TRUTHS = {"1": True, "yes": True, "on": True, "true": True, "0": False, "no": False, "off": False, "false": False}
# The variables that the vendor's own client reads; in a .env it would not find them.
_VENDOR = {
    "hopsworks": ("API_KEY", "HOST", "PORT", "PROJECT", "HOSTNAME_VERIFICATION", "TRUST_STORE_PATH", "CERT_FOLDER")
}

_log = logging.getLogger(__name__)


@attrs.frozen
class Entry:
    """A value, the kind of place it came from, and that place exactly (a variable, a file and line)."""

    value: Any = attrs.field(repr=False)
    origin: str
    place: str = attrs.field(default=attrs.Factory(lambda self: self.origin, takes_self=True))


def truth(name: str, text: str) -> bool:
    """What 1, yes, on, true or 0, no, off, false mean. ConfigError, naming the setting, for anything else."""
    value = TRUTHS.get(text.strip().lower())
    if value is None:
        raise ConfigError(f"{name} is {text!r}, expected one of {', '.join(TRUTHS)}")
    return value


def is_secret(name: str) -> bool:
    """Whether an option of this name is to be hidden: api_key, token, client_secret, password."""
    return _SECRET.search(name) is not None


def from_environment(
    environ: Mapping[str, str | None], backends: Sequence[str], origin: str, place: str = ""
) -> dict[str, Entry]:
    """The settings among the variables; an empty one counts as not set."""
    found: dict[str, Entry] = {}
    for variable in sorted(environ):
        value = environ[variable]
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS or not value:
            continue
        entry = Entry(value, f"{origin} {variable}", f"{place or 'environment'} {variable}")
        found.update([_secret_from_file(_dotted(variable, backends), entry)])
    return found


def from_dotenv(path: Path, backends: Sequence[str], environ: Mapping[str, str]) -> dict[str, Entry]:
    """The settings in a .env file, and the variables of a vendor's client there that ``environ`` has not.

    ``os.environ`` stays as it is.
    """
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        _log.warning("%s can be read by other users; run: chmod 600 %s", path, path)
    variables = dotenv_values(path, interpolate=False)
    found = {}
    for backend in set(_VENDOR).intersection(backends):
        for option in _VENDOR[backend]:
            variable = f"{backend.upper()}_{option}"
            if variables.get(variable) and not environ.get(variable):
                entry = Entry(variables[variable], f".env {variable}", f"{path} {variable}")
                found[f"backends.{backend}.{option.lower()}"] = entry
    return {**found, **from_environment(variables, backends, ".env", str(path))}


def from_file(folder: Path, path: str | Path | None = None) -> dict[str, Entry]:
    """The settings of the named file, else of btcfs.toml, else of [tool.btcfs] in pyproject.toml, in the folder."""
    if path is not None:
        file = Path(path)
        if not file.is_file():
            raise ConfigError(f"there is no configuration file {file}; btcfs config init writes one")
    else:
        file = folder / "btcfs.toml"
        if not file.is_file():
            file = folder / "pyproject.toml"
        if not file.is_file():
            return {}
    text, content = _parsed(file)
    if file.name == "pyproject.toml":
        content = content.get("tool", {}).get("btcfs", {})
    return dict(_flattened(file, text, content))


def _dotted(variable: str, backends: Sequence[str]) -> str:
    rest = variable[len(PREFIX) :].lower()
    for section in SECTIONS:
        if rest == section:
            return f"{section}.name"
        if rest.startswith(f"{section}_"):
            return f"{section}.{rest[len(section) + 1 :]}"
    for backend in sorted(backends, key=len, reverse=True):
        start = backend.lower().replace("-", "_") + "_"
        if rest.startswith(start) and rest != start:
            return f"backends.{backend}.{rest[len(start) :]}"
    return rest


def _parsed(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read {file}: {exc}") from exc
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{file} is not TOML: {exc}") from exc


def _flattened(file: Path, text: str, content: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    for name, value in content.items():
        if name in SECTIONS and isinstance(value, str):
            yield _entry(file, text, f"{name}.name", name, value)
        elif name in SECTIONS and isinstance(value, Mapping):
            for option, v in value.items():
                yield _entry(file, text, f"{name}.{option}", option, v)
        elif name == "backends" and isinstance(value, Mapping):
            for backend, options in value.items():
                if not isinstance(options, Mapping):
                    raise ConfigError(f"{file}: backends.{backend} is {options!r}, expected a table of its options")
                for option, v in options.items():
                    yield _entry(file, text, f"backends.{backend}.{option}", option, v)
        else:
            yield _entry(file, text, name, name, value)


def _entry(file: Path, text: str, dotted: str, key: str, value: Any) -> tuple[str, Entry]:
    line = _line_of(text, dotted, key)
    place = f"{file}:{line}" if line else str(file)
    if is_secret(key) and not key.endswith("_file"):
        _log.warning("%s holds the secret %s; keep it in the environment, in .env or in %s_file", place, dotted, key)
    return _secret_from_file(dotted, Entry(value, place, place))


def _line_of(text: str, dotted: str, key: str) -> int | None:
    """The line of the key, searched in its own table first; None if it is written in another way."""
    table = dotted.rpartition(".")[0]
    assignment = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]|\s*\[\s*{re.escape(key)}")
    header, first = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("["):
            header = line.strip().strip("[]").replace(" ", "").removeprefix("tool.btcfs").strip(".")
        if assignment.match(line):
            if header in (table, key):
                return number
            first = first or number
    return first


def _secret_from_file(dotted: str, entry: Entry) -> tuple[str, Entry]:
    """``api_key_file`` stands for ``api_key`` with the file's text."""
    option = dotted.removesuffix("_file")
    if option == dotted or "." not in dotted or not is_secret(option.rpartition(".")[2]):
        return dotted, entry
    try:
        secret = Path(entry.value).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, TypeError) as exc:
        raise ConfigError(f"{entry.place}: cannot read the secret of {option} from {entry.value!r}: {exc}") from exc
    return option, attrs.evolve(entry, value=secret, origin=f"{entry.origin} (file {entry.value})")
