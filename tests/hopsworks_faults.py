"""What can go wrong in Hopsworks, as scripts for the knobs of its emulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from btcfs_hopsworks.emulator.knobs import Knobs


def _fault(kind: str, where: str, **fields: Any) -> Callable[[Knobs], object]:
    return lambda knobs: knobs.add(kind, where, times=None, **fields)


def _setting(**settings: Any) -> Callable[[Knobs], object]:
    return lambda knobs: knobs.change(settings)


FAULTS: dict[str, Callable[[Knobs], object]] = {
    "500 once": lambda knobs: knobs.add("status", "rest *", status=500),
    "500 for ever": _fault("status", "rest *", status=500),
    "503 on writes of metadata": _fault("status", "rest POST *", status=503),
    "429": _fault("status", "rest *", status=429),
    "401": _fault("status", "rest *", status=401, code=320004),
    "403": _fault("status", "rest *", status=403, code=320000),
    "expired key": _setting(key_expired=True),
    "torn answer": _fault("torn", "rest *"),
    "dropped connection": _fault("drop", "rest *"),
    "hanging socket": _fault("hang", "rest *"),
    "hanging ingestion": _fault("hang", "rest *online_ingestion*"),
    "Kafka down": _setting(kafka_down=True),
    "Flight down": _setting(flight_down=True),
    "Flight fails": _fault("fail", "flight *"),
    "Flight hangs": _fault("hang", "flight *", seconds=3.0),
    "Flight tears": _fault("torn", "flight *"),
    "job fails": _fault("fail", "job *"),
    "job never ends": _setting(jobs_stuck=True),
    "slow job": _setting(job_delay=0.5),
    "online rows fail": _fault("fail", "online *"),
    "one online row is ignored": lambda knobs: knobs.add("ignore", "online *"),
    "online lag": _setting(online_lag=0.4),
    "MySQL fails": _fault("fail", "mysql *"),
    "MySQL hangs": _fault("hang", "mysql *", seconds=3.0),
    "MySQL drops": _fault("drop", "mysql *"),
    "MySQL tears": _fault("torn", "mysql *"),
}
