"""The engine ``spark``: partitions as tasks of a Spark application, in local mode or on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from btcfs.errors import ConfigError

if TYPE_CHECKING:
    from btcfs_spark.engine import SparkEngine


def open_spark(
    master: str | None = None,
    in_flight: int | None = None,
    name: str = "btcfs",
    conf: Mapping[str, str] | None = None,
) -> SparkEngine:
    """The application that runs in this program if there is one, else a new one, by default ``local[*]``.

    ``master`` is a cluster's address (``spark://host:7077``, ``yarn``, ``k8s://…``, ``local[2]``); under ``spark-submit``
    its own counts. ``name`` and ``conf`` are the application's name and properties. ConfigError without PySpark or Java.
    """
    try:
        from btcfs_spark.engine import SparkEngine
    except ModuleNotFoundError as exc:
        raise ConfigError(f"engine 'spark' needs PySpark ({exc}): pip install 'btcfs[spark]'") from exc
    return SparkEngine(master, in_flight, name, dict(conf or {}))
