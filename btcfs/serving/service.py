"""What one predictor app owns: its store, the active model, the log, the counters and a few threads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

import anyio
import anyio.to_thread
import attrs

from btcfs.errors import BtcfsError, StoreUnavailable
from btcfs.online.cache import CAPACITY
from btcfs.plugins import Plugins, installed_plugins
from btcfs.serving.active import ActiveModel, ServableBundle, activated
from btcfs.serving.counters import Counters
from btcfs.serving.prediction_log import PredictionLog
from btcfs.serving.predictor import Identifiers
from btcfs.serving.problems import Late
from btcfs.store import FeatureStore

_log = logging.getLogger(__name__)

T = TypeVar("T")

_NO_MODEL = "no version is active; btcfs train makes one, btcfs models activate chooses it"


class Models(Protocol):
    """Where bundles come from: the registry of a models folder."""

    def active(self) -> ServableBundle | None: ...


@attrs.frozen
class Options:
    """How an app serves: bounds in bytes and seconds, the default market, the administrator's token."""

    symbol: str = "BTC-USD"
    candles: str | None = None
    admin_token: str | None = attrs.field(default=None, repr=False)
    most_bytes: int = 65_536
    body_seconds: float = 5.0
    deadline_seconds: float = 10.0
    max_age_seconds: float | None = None  # of the newest candle's features; None answers from any and tells their age
    threads: int = 4
    log_predictions: bool = True
    log_seconds: float | None = None  # None: as PredictionLog chooses for the store
    # Folder on the local disk for predictions that wait to be logged; None keeps them in memory alone.
    spool: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path))
    watch_seconds: float = 1.0
    most_vectors: int = CAPACITY


class Service:
    """The state behind one app. ``start`` and ``stop`` frame its life; two of them share nothing.

    ``open_store`` gives the store and whether this service is to close it.
    """

    def __init__(
        self,
        open_store: Callable[[], tuple[FeatureStore, bool]],
        models: Models,
        options: Options,
        plugins: Plugins | None,
    ) -> None:
        self.options = options
        self.models = models
        self.counters = Counters()
        self.identifiers = Identifiers()
        self.failure: str | None = None  # why the last reload did not change the model
        self._open_store = open_store
        self._plugins = plugins
        self._store: FeatureStore | None = None
        self._owned = False
        self._model: ActiveModel | None = None
        self._log: PredictionLog | None = None
        self._limiter: anyio.CapacityLimiter | None = None
        self._changing = Lock()

    @property
    def started(self) -> bool:
        return self._store is not None

    @property
    def store(self) -> FeatureStore:
        """The open store. StoreUnavailable before the start and after the end."""
        if self._store is None:
            raise StoreUnavailable("this predictor has not started or is closed")
        return self._store

    @property
    def model(self) -> ActiveModel:
        """The model in use. StoreUnavailable if there is none."""
        if self._model is None:
            raise StoreUnavailable(f"no model is served: {self.failure or _NO_MODEL}")
        return self._model

    @property
    def log(self) -> PredictionLog | None:
        return self._log

    def start(self) -> None:
        """Open the store, load the active model, warm what the first request needs. Doing it again does nothing.

        A model that cannot be used does not stop the app: it is not ready until there is one that can.
        """
        with self._changing:
            if self._store is not None:
                return
            self._store, self._owned = self._open_store()
            if self.options.log_predictions:
                self._log = PredictionLog(self._store, interval=self.options.log_seconds, spool=self.options.spool)
                self._log.start()
        try:
            self.reload()
        except BtcfsError as exc:
            _log.warning("no model is served: %s", exc)

    def stop(self) -> None:
        """Write the log's rest and close the store if it was opened here."""
        with self._changing:
            if self._log is not None:
                self._log.stop()
            store, self._store, self._model, self._log = self._store, None, None, None
            if store is not None and self._owned:
                store.close()

    def reload(self) -> ActiveModel:
        """Load the active bundle beside the running one and put it in its place, in one step.

        Whatever is wrong with it is raised, and the running model keeps serving.
        """
        with self._changing:
            try:
                model = self._loaded()
            except BtcfsError as exc:
                self.failure = str(exc)
                self.counters.reloads["failed"] += 1
                raise
            self.failure = None
            self._model = model
            self.counters.reloads["done"] += 1
            return model

    def _loaded(self) -> ActiveModel:
        bundle = self.models.active()
        if bundle is None:
            raise StoreUnavailable(_NO_MODEL)
        plugins = installed_plugins() if self._plugins is None else self._plugins
        model = activated(self.store, bundle, plugins, candles=self.options.candles, capacity=self.options.most_vectors)
        model.features.warm(self.options.symbol)
        return model

    async def in_thread(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Work that may block, in one of a few threads. Late if it is not done by the deadline."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self.options.threads)
        try:
            with anyio.fail_after(self.options.deadline_seconds):
                return await anyio.to_thread.run_sync(
                    partial(work, *args, **kwargs), limiter=self._limiter, abandon_on_cancel=True
                )
        except TimeoutError as exc:
            # StoreBusy is a TimeoutError too, and says more.
            if isinstance(exc, BtcfsError):
                raise
            raise Late(f"the store did not answer within {self.options.deadline_seconds:g} s") from exc
