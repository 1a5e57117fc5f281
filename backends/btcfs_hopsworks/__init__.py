"""Hopsworks as a backend: rows through the unmodified ``hopsworks`` client, vectors from its online store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from btcfs_hopsworks.store import HopsworksStore as HopsworksStore

__all__ = ["HopsworksStore", "connect"]


def connect(
    project: str | None = None,
    host: str | None = None,
    port: int | None = None,
    api_key: str | None = None,
    *,
    timeout: float = 30.0,
    write_timeout: float = 600.0,
    lock_timeout: float = 60.0,
    hostname_verification: bool | None = None,
    trust_store_path: str | Path | None = None,
    cert_folder: str | Path | None = None,
    quota_file: str | Path = ".btcfs-hopsworks/quota.json",
    monthly_calls: int = 50_000,
    monthly_storage_gb: float = 25.0,
    monthly_egress_gb: float = 10.0,
    defaults: Mapping[str, str] | None = None,
) -> HopsworksStore:
    """The store in a Hopsworks project (by default ``bitcoin_ml_pipeline``, port 443).

    What is not given comes from HOPSWORKS_PROJECT, HOPSWORKS_HOST, HOPSWORKS_PORT, HOPSWORKS_API_KEY,
    HOPSWORKS_HOSTNAME_VERIFICATION, HOPSWORKS_TRUST_STORE_PATH and HOPSWORKS_CERT_FOLDER; nothing is ever
    asked for. ``timeout`` bounds each call and ``write_timeout`` a whole commit, in seconds;
    ``lock_timeout`` is how long a write waits for another on this machine before it raises StoreBusy.
    Calls and bytes are counted in ``quota_file``, which processes share, against a month's budget (the
    defaults are the guide's): above 95 % of it, calls that can wait are refused. ``defaults`` fill in entity columns that online keys leave out.

    ConfigError for settings that make no sense, an unknown project (naming those the key can see), a
    project other than the one this process has open (the client has one connection), and a client
    that is missing, too old or too new; AuthError for a missing or refused key; StoreUnavailable if
    the cluster does not answer.
    """
    import os

    from btcfs_hopsworks.address import resolve

    address = resolve(
        os.environ,
        project=project,
        host=host,
        port=port,
        api_key=api_key,
        hostname_verification=hostname_verification,
        trust_store_path=trust_store_path,
        cert_folder=cert_folder,
        timeout=timeout,
        write_timeout=write_timeout,
    )
    # Imported here so that a program which only names this backend loads neither the client nor pandas.
    from btcfs_hopsworks.quota import Budget
    from btcfs_hopsworks.store import open_store

    budget = Budget(monthly_calls, monthly_storage_gb, monthly_egress_gb)
    return open_store(address, Path(quota_file), budget, lock_timeout=lock_timeout, defaults=defaults)


def __getattr__(name: str) -> Any:
    if name == "HopsworksStore":
        from btcfs_hopsworks.store import HopsworksStore

        return HopsworksStore
    raise AttributeError(f"module 'btcfs_hopsworks' has no attribute {name!r}")
