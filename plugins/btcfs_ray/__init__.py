"""The engine ``ray``: partitions as tasks of a Ray cluster, or of one that is started on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btcfs.errors import ConfigError

if TYPE_CHECKING:
    from btcfs_ray.engine import RayEngine


def open_ray(address: str | None = None, workers: int | None = None, in_flight: int | None = None) -> RayEngine:
    """The Ray that this program uses already, else the cluster at ``address``, else a new one on this machine.

    ``address`` is what ``ray.init`` takes: ``auto``, ``host:6379``, ``ray://host:10001``. ``workers`` limits a new
    one; without it, it has as many as there are processors. ConfigError without Ray.
    """
    try:
        from btcfs_ray.engine import RayEngine
    except ModuleNotFoundError as exc:
        raise ConfigError(f"engine 'ray' needs Ray ({exc}): pip install 'btcfs[ray]'") from exc
    return RayEngine(address, workers, in_flight)
