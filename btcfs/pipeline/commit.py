"""One commit of a group: shown to the validating plugins, written, described by statistics, and announced."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import attrs
import pandas as pd

from btcfs.definitions import FeatureGroup
from btcfs.errors import BtcfsError
from btcfs.pipeline.statistics import STATISTICS, Profile
from btcfs.plugins import Plugins
from btcfs.store import FeatureStore, WriteReport

logger = logging.getLogger(__name__)


@attrs.frozen
class Committed:
    """What the store reported, and what could not be done beside it."""

    report: WriteReport
    warnings: tuple[str, ...] = ()


def commit(
    store: FeatureStore, group: FeatureGroup, frames: Iterable[pd.DataFrame], plugins: Plugins, *, describe: bool = True
) -> Committed:
    """Write frames of a group as one commit; with ``describe``, store the statistics of its rows too.

    Errors are those of ``FeatureStore.write`` and of the ``btcfs_validate`` observers, and leave the
    store as it was. Statistics that cannot be stored do not undo the commit: they become a warning.
    """
    profile = Profile(group)

    def watched() -> Iterator[pd.DataFrame]:
        for frame in frames:
            plugins.validate(group, frame)
            if describe:
                profile.add(frame)
            yield frame

    report = store.write(group, watched())
    if report.commit_id is None:
        return Committed(report)
    described = _describe(store, profile, report) if describe else []
    return Committed(report, (*described, *plugins.committed(group, report)))


def _describe(store: FeatureStore, profile: Profile, report: WriteReport) -> list[str]:
    assert report.commit_id is not None
    assert report.committed_at is not None
    try:
        store.apply(STATISTICS)
        store.write(STATISTICS, profile.table(report.commit_id, report.committed_at))
    except BtcfsError as exc:
        logger.warning("statistics of commit %s were not stored: %s", report.commit_id, exc)
        return [f"statistics of commit {report.commit_id} were not stored: {exc}"]
    return []
