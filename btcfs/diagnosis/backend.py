"""Checks of the configured backend: installed, importable, and whatever it says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from btcfs.backends import nearest
from btcfs.config import Config
from btcfs.connection import BackendInfo, backends
from btcfs.diagnosis.value import Diagnosis

GROUP = "btcfs.diagnoses"


def installed(name: str, found: Iterable[BackendInfo]) -> tuple[BackendInfo | None, Diagnosis]:
    """The backend of that name, and whether it can be used."""
    known = {info.name: info for info in found}
    info = known.get(name)
    if info is None:
        text = f"no backend named {name!r}; installed: {', '.join(known) or 'none'}{nearest(name, list(known))}"
        return None, Diagnosis(
            "backend", False, text, f"pip install 'btcfs[{name}]', or choose another with BTCFS_BACKEND"
        )
    if info.error is not None:
        return None, Diagnosis("backend", False, info.error, f"pip install 'btcfs[{name}]'")
    return info, Diagnosis("backend", True, f"{name} ({info.module} of {info.distribution})")


def chosen(config: Config) -> tuple[BackendInfo | None, list[Diagnosis]]:
    """The configured backend and, if there is one, the backend of its mirror."""
    found = backends()
    info, diagnosis = installed(config.backend, found)
    diagnoses = [diagnosis]
    if config.fallback is not None:
        if config.fallback == config.backend:
            text = f"backend and fallback are both {config.backend}, so there is no mirror"
            diagnoses.append(Diagnosis("fallback", None, text, "set fallback to another backend, or leave it out"))
        else:
            _, mirror = installed(config.fallback, found)
            diagnoses.append(Diagnosis("fallback", mirror.passed, mirror.message, mirror.remedy))
    return info, diagnoses


def own(name: str, options: Mapping[str, Any]) -> Iterator[Diagnosis]:
    """What the backend itself checks: the functions of the entry-point group ``btcfs.diagnoses`` with its name."""
    for entry_point in sorted(entry_points(group=GROUP, name=name), key=lambda e: e.value):
        try:
            yield from entry_point.load()(options)
        except Exception as exc:  # noqa: BLE001 - a stranger may raise anything, and the other checks go on
            text = f"the checks of {entry_point.value} failed themselves: {type(exc).__name__}: {exc}"
            yield Diagnosis(f"{name}_checks", None, text, "report it to its author")
