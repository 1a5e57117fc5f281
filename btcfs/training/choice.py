"""Choosing a model for each task by the names of installed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from btcfs.backends import nearest
from btcfs.errors import ConfigError, NotFound
from btcfs.models import ModelKind
from btcfs.plugins import Plugins
from btcfs.training.walk import Task

TASKS: tuple[Task, ...] = ("classification", "regression")
DEFAULT_MODEL = "logistic"


def chosen_models(plugins: Plugins, names: str | Sequence[str]) -> dict[Task, ModelKind]:
    """The kind for each task: those named, and for a task without one the counterpart of the other.

    NotFound for a name that no plugin gives; ConfigError for two of one task, or a task left without.
    """
    known = plugins.models()
    found: dict[Task, ModelKind] = {}
    for name in (names,) if isinstance(names, str) else names:
        kind = _kind(known, name)
        if kind.task in found:
            raise ConfigError(f"models {found[kind.task].name!r} and {name!r} are both for {kind.task}; name one")
        found[kind.task] = kind
    for task, other in (TASKS, TASKS[::-1]):
        if task not in found and other in found and found[other].counterpart:
            found[task] = _kind(known, found[other].counterpart)
    absent = [task for task in TASKS if task not in found]
    if absent:
        fitting = [kind.name for kind in known.values() if kind.task == absent[0]]
        raise ConfigError(f"no model for {absent[0]}; name one of {', '.join(fitting) or 'none installed'} too")
    return found


def _kind(known: Mapping[str, ModelKind], name: str) -> ModelKind:
    if name not in known:
        raise NotFound(f"no model named {name!r}; installed: {', '.join(known) or 'none'}{nearest(name, list(known))}")
    return known[name]
