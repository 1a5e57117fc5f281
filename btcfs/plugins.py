"""Loading the installed plugins once, and asking them for indicators, sources and models."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs
import pluggy

from btcfs import hookspecs
from btcfs.backends import distribution, nearest
from btcfs.config import load
from btcfs.errors import ConfigError, DefinitionError, NotFound, SchemaError
from btcfs.indicators import Indicator, IndicatorFamily
from btcfs.models import ModelKind
from btcfs.sources import SourceKind

if TYPE_CHECKING:
    import pandas as pd

    from btcfs.definitions import FeatureGroup
    from btcfs.store import WriteReport

_log = logging.getLogger(__name__)

GROUP = "btcfs"
BLOCK_VARIABLE = "BTCFS_BLOCK_PLUGINS"


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


@attrs.frozen
class PluginInfo:
    """One installed plugin: where it comes from, and why it failed if it did."""

    name: str
    distribution: str
    module: str
    error: str | None = None
    blocked: bool = False
    clash: bool = False  # another plugin has this name

    def to_dict(self) -> dict[str, Any]:
        return attrs.asdict(self)


@attrs.frozen
class Contributions:
    """What one plugin gives: its indicators, sources and models."""

    indicators: tuple[Indicator, ...]
    sources: tuple[SourceKind, ...]
    models: tuple[ModelKind, ...]


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

    def info(self, name: str) -> PluginInfo:
        """What is known of the plugin of that name, loaded or not. NotFound, with the installed ones, if there is none."""
        found = [info for info in self.installed if info.name == name]
        if not found:
            known = [info.name for info in self.installed]
            raise NotFound(f"no plugin named {name!r}; installed: {', '.join(known) or 'none'}{nearest(name, known)}")
        return next((info for info in found if info.error is not None), found[0])

    def indicators(self) -> list[Indicator]:
        """Every indicator, in plugin order. DefinitionError if two plugins give one feature name."""
        return [item for _, item in self.owned_indicators()]

    def owned_indicators(self) -> list[tuple[str, Indicator]]:
        """Every indicator with the name of its plugin; otherwise as ``indicators``."""
        self._refuse_broken()
        pairs = self._indicators(self.installed)
        _refuse_clashes("feature", [(plugin, f.name) for plugin, item in pairs for f in item.outputs])
        return pairs

    def sources(self) -> dict[str, SourceKind]:
        """Every source by name."""
        self._refuse_broken()
        return _named("source", self._collect("btcfs_sources", SourceKind, self.installed))

    def models(self) -> dict[str, ModelKind]:
        """Every model by name."""
        self._refuse_broken()
        return _named("model", self._collect("btcfs_models", ModelKind, self.installed))

    def contributions(self, name: str) -> Contributions:
        """What one plugin gives, whatever is wrong with the others."""
        only = [self.info(name)]
        return Contributions(
            tuple(item for _, item in self._indicators(only)),
            tuple(item for _, item in self._collect("btcfs_sources", SourceKind, only)),
            tuple(item for _, item in self._collect("btcfs_models", ModelKind, only)),
        )

    def validate(self, group: FeatureGroup, rows: pd.DataFrame) -> None:
        """Show the rows of an ingest to every plugin before they are written.

        SchemaError if a plugin refuses them; ConfigError, naming it, if one raises anything else.
        """
        for info, function in self._implementations("btcfs_validate", self.installed):
            try:
                _call(function, {"group": group, "rows": rows})
            except SchemaError as exc:
                raise SchemaError(f"plugin {info.name!r} refuses the rows for {group.title}: {exc}") from exc
            except Exception as exc:  # a stranger may raise anything
                raise _raised(info, "btcfs_validate", exc) from exc

    def committed(self, group: FeatureGroup, report: WriteReport) -> list[str]:
        """Tell every plugin of a commit that changed something.

        The commit stands whatever a plugin does: one that raises is logged, and is in the list returned.
        """
        failures = []
        for info, function in self._implementations("btcfs_committed", self.installed):
            try:
                _call(function, {"group": group, "report": report})
            except Exception as exc:  # noqa: BLE001 - a stranger may raise anything, after the rows were committed
                failures.append(str(_raised(info, "btcfs_committed", exc)))
                _log.warning("%s", failures[-1], exc_info=exc)
        return failures

    def _load(self, entry_point: EntryPoint, blocked: bool) -> None:
        info = PluginInfo(entry_point.name, distribution(entry_point), entry_point.value, blocked=blocked)
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
                self.installed.append(attrs.evolve(info, error=problem, clash=True))
                return
        try:
            self._manager.register(plugin, info.name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as exc:
            if self._manager.get_plugin(info.name) is not None:
                self._manager.unregister(name=info.name)
            info = attrs.evolve(info, error=f"{type(exc).__name__}: {exc}")
        self.installed.append(info)

    def _implementations(self, hook: str, plugins: Iterable[PluginInfo]) -> list[tuple[PluginInfo, Callable[..., Any]]]:
        """Who implements the hook, in plugin order; pluggy's own order is last registered first."""
        found = {impl.plugin_name: impl.function for impl in getattr(self._manager.hook, hook).get_hookimpls()}
        given = [info for info in plugins if info.name in found and info.error is None and not info.blocked]
        return [(info, found[info.name]) for info in given]

    def _indicators(self, plugins: Iterable[PluginInfo]) -> list[tuple[str, Indicator]]:
        pairs = self._collect("btcfs_indicators", (Indicator, IndicatorFamily), plugins)
        return [(name, item() if isinstance(item, IndicatorFamily) else item) for name, item in pairs]

    def _collect(self, hook: str, expected: Any, plugins: Iterable[PluginInfo]) -> list[tuple[str, Any]]:
        found = []
        for info, function in self._implementations(hook, plugins):
            for item in _called(info, hook, function):
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
            names = ",".join(dict.fromkeys(info.name for info in broken))
            remedy = (
                f"Uninstall one of them; {BLOCK_VARIABLE}={names} leaves out both"
                if first.clash
                else f"Repair or uninstall it, or go on without it: {BLOCK_VARIABLE}={names}"
            )
            raise ConfigError(
                f"plugin {first.name!r} from {first.distribution} ({first.module}) could not be loaded: "
                f"{first.error}. {remedy}"
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


def _call(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Call an implementation with those arguments of the hook that it takes, as pluggy allows."""
    return function(**{name: given[name] for name in inspect.signature(function).parameters})


def _called(info: PluginInfo, hook: str, function: Callable[[], Sequence[Any]]) -> Sequence[Any]:
    try:
        return list(function())
    except Exception as exc:  # a stranger may raise anything
        raise _raised(info, hook, exc) from exc


def _raised(info: PluginInfo, hook: str, exc: Exception) -> ConfigError:
    return ConfigError(
        f"plugin {info.name!r} from {info.distribution}: {hook} raised {type(exc).__name__}: {exc}. "
        f"Repair or uninstall it, or go on without it: {BLOCK_VARIABLE}={info.name}"
    )


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
    _refuse_clashes(what, [(plugin, item.name) for plugin, item in pairs])
    return {item.name: item for _, item in pairs}
