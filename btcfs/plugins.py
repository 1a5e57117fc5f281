"""Loading the installed plugins once, and asking them for indicators, sources and models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import attrs
import pluggy

from btcfs import hookspecs
from btcfs.config import load
from btcfs.errors import ConfigError, DefinitionError
from btcfs.indicators import Indicator, IndicatorFamily
from btcfs.models import ModelKind
from btcfs.sources import SourceKind

GROUP = "btcfs"
BLOCK_VARIABLE = "BTCFS_BLOCK_PLUGINS"

T = TypeVar("T")


@attrs.frozen
class PluginInfo:
    """One installed plugin: where it comes from, and why it failed if it did."""

    name: str
    distribution: str
    module: str
    error: str | None = None
    blocked: bool = False

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


class Plugins:
    """The loaded plugins. One that fails to import is kept with its cause and raised when it is needed."""

    def __init__(self, blocked: Iterable[str] = ()) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self.installed: list[PluginInfo] = []
        blocked = set(blocked)
        for entry_point in _ordered(entry_points(group=GROUP)):
            self._load(entry_point, entry_point.name in blocked)

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin object that no distribution announces; for programs and tests."""
        self._register(plugin, PluginInfo(name, "this program", getattr(plugin, "__name__", type(plugin).__name__)))

    def indicators(self) -> list[Indicator]:
        """Every indicator, in plugin order. DefinitionError if two plugins give one feature name."""
        pairs = [
            (name, item() if isinstance(item, IndicatorFamily) else item)
            for name, item in self._collect("btcfs_indicators", (Indicator, IndicatorFamily))
        ]
        _refuse_clashes("feature", [(plugin, f.name) for plugin, item in pairs for f in item.outputs])
        return [item for _, item in pairs]

    def sources(self) -> dict[str, SourceKind]:
        """Every source by name."""
        return _named("source", self._collect("btcfs_sources", SourceKind))

    def models(self) -> dict[str, ModelKind]:
        """Every model by name."""
        return _named("model", self._collect("btcfs_models", ModelKind))

    @property
    def hook(self) -> Any:
        """The hook callers, for the observers ``btcfs_validate`` and ``btcfs_committed``."""
        return self._manager.hook

    def _load(self, entry_point: EntryPoint, blocked: bool) -> None:
        distribution = entry_point.dist.name if entry_point.dist is not None else "unknown"
        info = PluginInfo(entry_point.name, distribution, entry_point.value, blocked=blocked)
        if blocked:
            self.installed.append(info)
            return
        try:
            plugin = entry_point.load()
        except Exception as exc:  # noqa: BLE001 - a stranger may raise anything; it is kept, and raised when needed
            self.installed.append(attrs.evolve(info, error=f"{type(exc).__name__}: {exc}"))
            return
        self._register(plugin, info)

    def _register(self, plugin: object, info: PluginInfo) -> None:
        for other in self.installed:
            if other.name == info.name and not other.blocked:
                problem = f"its name is taken by {other.module} from {other.distribution}"
                self.installed.append(attrs.evolve(info, error=problem))
                return
        try:
            self._manager.register(plugin, info.name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as exc:
            self._manager.unregister(name=info.name)
            info = attrs.evolve(info, error=f"{type(exc).__name__}: {exc}")
        self.installed.append(info)

    def _collect(self, hook: str, expected: Any) -> list[tuple[str, Any]]:
        self._refuse_broken()
        implementations = {impl.plugin_name: impl for impl in getattr(self._manager.hook, hook).get_hookimpls()}
        found = []
        for info in self.installed:
            if info.name not in implementations:
                continue
            for item in _called(info, hook, implementations[info.name].function):
                if not isinstance(item, expected):
                    raise DefinitionError(
                        f"plugin {info.name!r}: {hook} gave {item!r}, which is not what the hook returns"
                    )
                found.append((info.name, item))
        return found

    def _refuse_broken(self) -> None:
        broken = [info for info in self.installed if info.error is not None]
        if broken:
            first = broken[0]
            raise ConfigError(
                f"plugin {first.name!r} from {first.distribution} ({first.module}) could not be loaded: {first.error}. "
                f"Repair or uninstall it, or go on without it: {BLOCK_VARIABLE}={','.join(i.name for i in broken)}"
            )


def installed_plugins(blocked: Iterable[str] | None = None) -> Plugins:
    """The plugins of this environment, loaded once in a process.

    ``blocked`` names those to leave out, by default the setting ``block_plugins``.
    """
    return _loaded(tuple(sorted(set(load().block_plugins if blocked is None else blocked))))


@cache
def _loaded(blocked: tuple[str, ...]) -> Plugins:
    return Plugins(blocked)


def _ordered(found: Iterable[EntryPoint]) -> list[EntryPoint]:
    """Those of the btcfs distribution first, then by name: the order of the features follows from it."""
    return sorted(found, key=lambda e: (e.dist is None or e.dist.name != "btcfs", e.name, e.value))


def _called(info: PluginInfo, hook: str, function: Callable[[], Sequence[Any]]) -> Sequence[Any]:
    try:
        return list(function())
    except Exception as exc:  # a stranger may raise anything
        raise ConfigError(
            f"plugin {info.name!r} from {info.distribution}: {hook} raised {type(exc).__name__}: {exc}. "
            f"Repair or uninstall it, or go on without it: {BLOCK_VARIABLE}={info.name}"
        ) from exc


def _refuse_clashes(what: str, pairs: list[tuple[str, str]]) -> None:
    owners: dict[str, str] = {}
    for plugin, name in pairs:
        if name in owners:
            raise DefinitionError(
                f"{what} {name!r} comes from plugin {owners[name]!r} and from plugin {plugin!r}; "
                f"block one of them with {BLOCK_VARIABLE}"
            )
        owners[name] = plugin


def _named(what: str, pairs: list[tuple[str, T]]) -> dict[str, T]:
    _refuse_clashes(what, [(plugin, item.name) for plugin, item in pairs])  # type: ignore[attr-defined]
    return {item.name: item for _, item in pairs}  # type: ignore[attr-defined]
