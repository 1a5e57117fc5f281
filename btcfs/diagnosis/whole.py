"""Every check in the order in which a cause comes before its consequences."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from btcfs.config import Config, load
from btcfs.connection import configured_options, connect
from btcfs.diagnosis import backend, contents, environment
from btcfs.diagnosis.value import Diagnosis
from btcfs.errors import AuthError, BtcfsError, ConfigError, NotFound, StoreBusy, StoreUnavailable
from btcfs.instants import now
from btcfs.pipeline.configured import configured_ingest
from btcfs.pipeline.verify import Verification
from btcfs.plugins import Plugins, installed_plugins
from btcfs.store import FeatureStore

_REMEDIES: tuple[tuple[type[BtcfsError], str], ...] = (
    (AuthError, "check the key and its scopes; make a new one in the backend's account settings"),
    (StoreBusy, "wait for the other process, or end it"),
    (StoreUnavailable, "check host and port, the network, the firewall (HTTPS) and HTTPS_PROXY/NO_PROXY"),
    (NotFound, "check the project's name; the message lists those that the key sees"),
    (ConfigError, "btcfs config show prints each setting and where it comes from"),
)


def diagnose(
    folder: Path,
    *,
    config_path: str | None = None,
    chosen_backend: str | None = None,
    models: Path = Path("models"),
    environ: Mapping[str, str] | None = None,
) -> Iterator[Diagnosis]:
    """The checks one by one; those that a failed one makes meaningless are left out. They change nothing."""
    environ = os.environ if environ is None else environ
    yield from environment.environment(environ, folder)
    try:
        config = load(config_path, environ, folder, backend=chosen_backend)
        plugins = installed_plugins(config.block_plugins)
    except ConfigError as exc:
        yield Diagnosis("settings", False, str(exc), "btcfs config init writes a file with every setting")
        return
    yield from environment.settings(config)
    yield _plugins(plugins)
    yield contents.model(folder / models)
    info, found = backend.chosen(config)
    yield from found
    if info is None:
        return
    yield environment.key(config, info.options, environ)
    yield from _own(config.backend, config)
    if config.fallback not in (None, config.backend):
        yield from _own(str(config.fallback), config)
    yield from _opened(config, plugins)


def _own(name: str, config: Config) -> Iterator[Diagnosis]:
    try:
        options = configured_options(name, config)
    except ConfigError as exc:
        yield Diagnosis("options", False, str(exc), _REMEDIES[-1][1])
        return
    yield from backend.own(name, options)


def _opened(config: Config, plugins: Plugins) -> Iterator[Diagnosis]:
    try:
        store = connect(config=config)
    except BtcfsError as exc:
        remedy = next((text for kind, text in _REMEDIES if isinstance(exc, kind)), "see the message")
        yield Diagnosis("connection", False, f"{type(exc).__name__}: {exc}", remedy)
        return
    with store:
        yield contents.guarded("connection", lambda: _connection(store))
        yield contents.guarded("clock", lambda: contents.clock(store, now()))
        try:
            verification = _verification(store, config, plugins)
        except BtcfsError as exc:
            yield Diagnosis("contents", False, f"{type(exc).__name__}: {exc}", "btcfs plugins check")
        else:
            yield from contents.stored(verification)
        yield contents.guarded("lookup", lambda: contents.lookup(store, config.symbol))
        yield from contents.mirror(store)
        yield from contents.budget(store)


def _connection(store: FeatureStore) -> Diagnosis:
    count = len(store.definitions())
    opened = getattr(store, "primary", None)
    if opened is not None and opened.opened is None:
        reason = opened.breakers["definitions"].reason
        return Diagnosis("connection", False, f"{store.name} is not reached: {reason}", _REMEDIES[2][1])
    return Diagnosis("connection", True, f"connected to {store.name}, which has {count} definitions")


def _verification(store: FeatureStore, config: Config, plugins: Plugins) -> Verification:
    ingest = configured_ingest(store, config, plugins)
    return Verification(store, ingest.plan, ingest.feature_group, ingest.candle_group, config.symbol, now())


def _plugins(plugins: Plugins) -> Diagnosis:
    broken = [info for info in plugins.installed if info.error is not None]
    if broken:
        text = f"plugin {broken[0].name} cannot be loaded: {broken[0].error}"
        return Diagnosis("plugins", False, text, f"repair it, or BTCFS_BLOCK_PLUGINS={broken[0].name}")
    return Diagnosis("plugins", True, ", ".join(info.name for info in plugins.installed if not info.blocked) or "none")
