"""Opening a feature store by the name of its backend; a candle source and an engine by theirs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import attrs

from btcfs import capabilities, engines
from btcfs.backends import GROUP, distribution, find, nearest
from btcfs.config import Config, is_secret, load
from btcfs.errors import ConfigError
from btcfs.settings import TRUTHS

if TYPE_CHECKING:
    from btcfs.engines import Engine
    from btcfs.plugins import Plugins
    from btcfs.sources import Source
    from btcfs.store import FeatureStore


@attrs.frozen
class BackendInfo:
    """One installed backend: where it comes from, its options, and why it cannot be imported if so.

    ``capabilities`` are as ``btcfs.capabilities.declared`` says: None if only an open store can tell.
    """

    name: str
    distribution: str
    module: str
    options: tuple[str, ...] = ()
    error: str | None = None
    capabilities: Mapping[str, bool | str] | None = None

    @property
    def loadable(self) -> bool:
        return self.error is None

    def to_dict(self) -> dict[str, Any]:
        declared = None if self.capabilities is None else dict(self.capabilities)
        return {
            **attrs.asdict(self),
            "options": list(self.options),
            "loadable": self.loadable,
            "capabilities": declared,
        }


def connect(backend: str | None = None, *, config: Config | None = None, **options: Any) -> FeatureStore:
    """Open the store of a backend; without a name the configured one, by default DuckDB under ``.btcfs``.

    ``options`` are the parameters of the backend's own ``connect`` and go before the configured
    ones; a secret among them may be a callable without arguments that returns it. With the setting
    ``fallback`` the configured backend comes with a mirror (``btcfs.fallback``); a backend that an argument
    chooses comes alone. ConfigError for an unknown backend or option, or a backend that cannot be imported.
    """
    config = load() if config is None else config
    name = config.backend if backend is None else backend
    opener = _opener(name, config, options)
    if config.fallback in (None, name) or name != config.backend or config.origins.get("backend") == "argument":
        return opener()
    return _with_mirror(name, opener, config)


def _opener(name: str, config: Config, options: Mapping[str, Any]) -> Callable[[], FeatureStore]:
    """A function that opens the backend's store; what is wrong with its options is raised now."""
    function = _function(name)
    merged = {**configured_options(name, config, without=options), **options}
    parameters = _options(function)
    if parameters is not None:
        _refuse_unknown(name, merged, parameters)
        if "defaults" in parameters:
            merged.setdefault("defaults", {"symbol": config.symbol})
    called = {o: value() if is_secret(o) and callable(value) else value for o, value in merged.items()}
    return partial(function, **called)


def configured_options(name: str, config: Config, without: Collection[str] = ()) -> dict[str, Any]:
    """The configured options of a backend, in the types of its connect's parameters. ConfigError for one that is of another."""
    function = _function(name)
    values = config.backends.get(name, {})
    return {
        option: _converted(name, option, value, function) for option, value in values.items() if option not in without
    }


def _with_mirror(name: str, opener: Callable[[], FeatureStore], config: Config) -> FeatureStore:
    """The store of that backend, and the configured fallback's as its mirror."""
    from btcfs.fallback.opening import pair

    assert config.fallback is not None
    parameters = _options(pair) or {}
    own = {option: kind for option, kind in parameters.items() if kind.default is not kind.empty}
    _refuse_unknown(config.fallback, config.fallback_options, own, what="fallback")
    chosen = {o: _converted("fallback", o, v, pair, what="setting") for o, v in config.fallback_options.items()}
    target = f"{_place(name, config)} mirrored in {_place(config.fallback, config)}"
    mirror = _opener(config.fallback, config, {})()
    try:
        return pair(opener, mirror, name=name, target=target, **chosen)
    except BaseException:  # whatever stopped it, nobody else could close it
        mirror.close()
        raise


def _place(name: str, config: Config) -> str:
    """A backend and the texts among its options that are no secrets: where its rows are."""
    options = sorted(config.backends.get(name, {}).items())
    shown = [f"{option}={value}" for option, value in options if isinstance(value, str) and not is_secret(option)]
    return f"{name} ({', '.join(shown)})" if shown else name


def open_source(name: str, plugins: Plugins, options: Mapping[str, Any]) -> Source:
    """The candle source of that name; ``options`` are the parameters of its ``open`` function.

    ConfigError for an unknown source or option, or a value of another type.
    """
    kinds = plugins.sources()
    if name not in kinds:
        raise ConfigError(
            f"no source named {name!r}; installed: {', '.join(kinds) or 'none'}{nearest(name, list(kinds))}"
        )
    function = kinds[name].open
    parameters = _options(function)
    if parameters is not None:
        _refuse_unknown(name, options, parameters, what="source")
        absent = [p.name for p in parameters.values() if p.default is p.empty and p.name not in options]
        if absent:
            raise ConfigError(f"source {name!r} needs {', '.join(absent)}; on the command line --{absent[0]} VALUE")
    converted = {o: _converted(name, o, value, function, what="source") for o, value in options.items()}
    return function(**converted)


def open_engine(name: str, options: Mapping[str, Any]) -> Engine | None:
    """The engine of that name, to be closed; None for ``local``, which is this process.

    ``options`` are the parameters of its opening function. ConfigError for an unknown engine or option, a value
    of another type, or an engine that cannot be imported; StoreUnavailable if it does not answer.
    """
    if name == engines.LOCAL:
        _refuse_unknown(name, options, {}, what="engine")
        return None
    function = _loaded(engines.find(name), "engine")
    parameters = _options(function)
    if parameters is not None:
        _refuse_unknown(name, options, parameters, what="engine")
    opened: Engine = function(
        **{o: _converted(name, o, value, function, what="engine") for o, value in options.items()}
    )
    return opened


def backends() -> list[BackendInfo]:
    """Every installed backend, by name; each is imported to see whether it can be."""
    found = sorted(entry_points(group=GROUP), key=lambda e: (e.name, e.value))
    return [_info(entry_point.name, distribution(entry_point), entry_point.value) for entry_point in found]


def options_of(name: str) -> dict[str, inspect.Parameter]:
    """The parameters of a backend's connect, in their order; none if it takes any. ConfigError as ``connect`` says."""
    return _options(_function(name)) or {}


def _info(name: str, dist: str, module: str) -> BackendInfo:
    try:
        function = _function(name)
    except ConfigError as exc:
        return BackendInfo(name, dist, module, error=str(exc))
    options = tuple(option for option in _options(function) or {} if option != "defaults")
    try:
        declared = capabilities.declared(function)
    except ImportError as exc:  # of the SDK, which only the module of its class needs
        return BackendInfo(name, dist, module, options, error=f"{type(exc).__name__}: {exc}")
    return BackendInfo(name, dist, module, options, capabilities=declared)


def _function(name: str) -> Callable[..., Any]:
    return _loaded(find(name), "backend")


def _loaded(entry_point: EntryPoint, what: str) -> Callable[..., Any]:
    try:
        function: Callable[..., Any] = entry_point.load()
    except Exception as exc:  # a stranger may raise anything on import
        raise ConfigError(
            f"{what} {entry_point.name!r} from {distribution(entry_point)} ({entry_point.value}) cannot be imported: "
            f"{type(exc).__name__}: {exc}. Install what it needs, or choose another with --{what} or BTCFS_{what.upper()}"
        ) from exc
    return function


def _options(function: Callable[..., Any]) -> dict[str, inspect.Parameter] | None:
    """The parameters of a backend's connect; None if it takes any."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return None
    return dict(parameters)


def _refuse_unknown(name: str, options: Mapping[str, Any], known: Mapping[str, object], what: str = "backend") -> None:
    shown = [option for option in known if option != "defaults"]
    for option in options:
        if option not in known:
            raise ConfigError(
                f"{what} {name!r} has no option {option!r}; it has {', '.join(shown) or 'none'}{nearest(option, shown)}"
            )


def _converted(name: str, option: str, value: Any, function: Callable[..., Any], what: str = "backend") -> Any:
    """A configured value as the type that the parameter's annotation names; a text may stand for a number."""
    parameter = inspect.signature(function).parameters.get(option)
    kinds = _kinds(parameter)
    if not kinds or kinds & {"str", "Path"} or not isinstance(value, (str, int, float)):
        return value
    if isinstance(value, str):
        if "bool" in kinds and value.strip().lower() in TRUTHS:
            return TRUTHS[value.strip().lower()]
        for kind, convert in (("int", int), ("float", float)):
            if kind in kinds:
                try:
                    return convert(value)
                except ValueError:
                    continue
    elif (isinstance(value, bool) and "bool" in kinds) or (not isinstance(value, bool) and kinds & {"int", "float"}):
        return value
    shown = "that value" if is_secret(option) else repr(value)
    raise ConfigError(f"option {option!r} of {what} {name!r} is {shown}, expected {' or '.join(sorted(kinds))}")


def _kinds(parameter: inspect.Parameter | None) -> set[str]:
    """The simple type names in an annotation such as ``str | Path``; empty if it has any other."""
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return set()
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    kinds = {part.strip() for part in text.split("|")} - {"None"}
    return kinds if kinds <= {"str", "Path", "int", "float", "bool"} else set()
