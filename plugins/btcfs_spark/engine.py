"""Tasks as jobs of one task each, so that results come back one by one and never more than asked for."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import uuid4

from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from btcfs.engines import bounded
from btcfs.errors import ConfigError, StoreUnavailable

R = TypeVar("R")

# Of an application of our own, unless ``conf`` says otherwise: no web page, no bar over ours, no warnings of habit.
_QUIET = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
_PYTHON = "PYSPARK_PYTHON"


class SparkEngine:
    """A Spark application as an engine. One that ran before stays when this is closed."""

    name = "spark"

    def __init__(self, master: str | None, in_flight: int | None, application: str, conf: Mapping[str, str]) -> None:
        running = SparkContext._active_spark_context  # nothing public tells of one without starting it
        self._own = running is None
        self._context = running or _started(master, application, conf)
        self.workers = self._context.defaultParallelism
        self.in_flight = bounded(self.workers, in_flight)
        self._tag = f"btcfs-{uuid4().hex}"
        self._threads = ThreadPoolExecutor(self.in_flight, thread_name_prefix="btcfs-spark")

    def submit(self, function: Callable[[Any], R], task: Any) -> Future[R]:
        return self._threads.submit(self._run, pickle.dumps((function, task), protocol=5))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._context.cancelJobsWithTag(self._tag)
        self._threads.shutdown()
        if self._own:
            self._context.stop()

    def _run(self, call: bytes) -> Any:
        self._context.addJobTag(self._tag)  # of this thread
        [answer] = self._context.parallelize([call], 1).map(_called).collect()
        return pickle.loads(answer)


def _called(call: bytes) -> bytes:
    function, task = pickle.loads(call)
    return pickle.dumps(function(task), protocol=5)


def _started(master: str | None, application: str, conf: Mapping[str, str]) -> SparkContext:
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        raise ConfigError(
            "engine 'spark' needs Java 17 or newer; install it (Debian: default-jre-headless) or set JAVA_HOME"
        )
    # Spark's own settings (spark-submit, spark-defaults.conf) are read by the builder; ours come on top.
    builder = SparkSession.builder.appName(application)
    for key, value in {**_QUIET, **conf}.items():
        builder = builder.config(key, value)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if master is None and not submitted:
        master = "local[*]"
    if master is not None:
        builder = builder.master(master)
    try:
        with _same_python(master):
            return builder.getOrCreate().sparkContext
    except (PySparkException, OSError) as exc:
        raise StoreUnavailable(f"engine 'spark' did not start with master {master!r}: {exc}") from exc


@contextmanager
def _same_python(master: str | None) -> Iterator[None]:
    """In local mode workers run this Python, unless the environment names another; Spark's default is any python3."""
    if _PYTHON in os.environ or not (master or "").startswith("local"):
        yield
        return
    os.environ[_PYTHON] = sys.executable
    try:
        yield
    finally:
        del os.environ[_PYTHON]
