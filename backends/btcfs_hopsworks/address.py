"""Which Hopsworks project to open, and how: arguments before ``HOPSWORKS_*`` variables, and never a question asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from btcfs.errors import AuthError, ConfigError

SCOPES = ("PROJECT", "FEATURESTORE", "JOB", "KAFKA", "DATASET_VIEW", "DATASET_CREATE", "DATASET_DELETE")
_TRUE = ("1", "true", "yes", "y", "on")
_FALSE = ("0", "false", "no", "n", "off", "")


@attrs.frozen
class Address:
    """One project of one cluster, and the key to it; ``timeout`` bounds each call, ``write_timeout`` a whole commit, in seconds."""

    host: str
    port: int
    project: str
    api_key: str = attrs.field(repr=False)
    hostname_verification: bool = False
    trust_store_path: str | None = None
    cert_folder: str | None = None
    timeout: float = 30.0
    write_timeout: float = 600.0

    @property
    def place(self) -> tuple[str, int, str]:
        """What tells two projects apart."""
        return (self.host, self.port, self.project)

    @property
    def title(self) -> str:
        return f"project {self.project} on {self.host}:{self.port}"


def resolve(
    environ: Mapping[str, str],
    *,
    project: str | None,
    host: str | None,
    port: int | None,
    api_key: str | None,
    hostname_verification: bool | None,
    trust_store_path: str | Path | None,
    cert_folder: str | Path | None,
    timeout: float,
    write_timeout: float,
) -> Address:
    """The address that these arguments and this environment name.

    ConfigError for what is missing or makes no sense, AuthError for a missing key.
    """
    if environ.get("REST_ENDPOINT"):
        raise ConfigError(
            "REST_ENDPOINT is set, which makes the Hopsworks client believe that it runs inside the cluster and ignore "
            "host and key; unset it (env -u REST_ENDPOINT ...) and start again"
        )
    host = host or environ.get("HOPSWORKS_HOST")
    if not host:
        raise ConfigError(
            "no Hopsworks host: set host in [backends.hopsworks], BTCFS_HOPSWORKS_HOST or HOPSWORKS_HOST, "
            "such as 'my.cluster.example' or 'eu-west.cloud.hopsworks.ai'"
        )
    if "/" in host or ":" in host:
        raise ConfigError(
            f"the Hopsworks host is {host!r}, expected a bare name or address; the port is a setting of its own"
        )
    api_key = api_key or environ.get("HOPSWORKS_API_KEY")
    if not api_key or not api_key.strip():
        raise AuthError(
            f"no API key for {host}: set BTCFS_HOPSWORKS_API_KEY or HOPSWORKS_API_KEY. Create one in Hopsworks "
            f"under Account Settings, API, with the scopes {', '.join(SCOPES)}"
        )
    if timeout <= 0 or write_timeout <= 0:
        raise ConfigError(f"timeout is {timeout} and write_timeout {write_timeout}; both are seconds above 0")
    verification = environ.get("HOPSWORKS_HOSTNAME_VERIFICATION", "")
    store = trust_store_path or environ.get("HOPSWORKS_TRUST_STORE_PATH") or None
    if store is not None and not Path(store).is_file():
        raise ConfigError(
            f"trust_store_path {str(store)!r} is no file; expected the PEM file of the cluster's authority"
        )
    folder = cert_folder or environ.get("HOPSWORKS_CERT_FOLDER") or None
    return Address(
        host=host,
        port=_port(port, environ),
        project=project or environ.get("HOPSWORKS_PROJECT") or "bitcoin_ml_pipeline",
        api_key=api_key.strip(),
        hostname_verification=_truth(verification) if hostname_verification is None else hostname_verification,
        trust_store_path=None if store is None else str(store),
        cert_folder=None if folder is None else str(folder),
        timeout=float(timeout),
        write_timeout=float(write_timeout),
    )


def _port(port: int | None, environ: Mapping[str, str]) -> int:
    given = environ.get("HOPSWORKS_PORT", "443") if port is None else port
    try:
        number = int(given)
    except ValueError as exc:
        raise ConfigError(f"HOPSWORKS_PORT is {given!r}, expected a number such as 443") from exc
    if not 0 < number < 65536:
        raise ConfigError(f"the Hopsworks port is {number}, expected one of 1 to 65535")
    return number


def _truth(text: str) -> bool:
    if text.strip().lower() in _TRUE:
        return True
    if text.strip().lower() in _FALSE:
        return False
    raise ConfigError(f"HOPSWORKS_HOSTNAME_VERIFICATION is {text!r}, expected true or false")
