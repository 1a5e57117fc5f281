"""Noticing that another process activated a model."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from btcfs.errors import BtcfsError

if TYPE_CHECKING:
    from btcfs.serving.service import Service

_log = logging.getLogger(__name__)


async def watch(service: Service) -> None:
    """Reload the model whenever the manifest of the models folder changes, until cancelled.

    A version that cannot be used is logged, shown by ``/ready``, and leaves the running one in place.
    """
    manifest = _manifest(service)
    if manifest is None:
        return
    seen = _stamp(manifest)
    while True:
        await asyncio.sleep(service.options.watch_seconds)
        stamp = _stamp(manifest)
        if stamp == seen:
            continue
        seen = stamp
        try:
            model = await service.in_thread(service.reload)
        except BtcfsError as exc:
            _log.warning("the model activated in %s is not used: %s", manifest, exc)
        else:
            _log.info("model %s is used now", model.bundle.version)


def _manifest(service: Service) -> Path | None:
    folder = getattr(service.models, "models_dir", None)
    return None if folder is None else Path(folder) / "manifest.json"


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
