"""What ``btcfs doctor`` checks of Hopsworks, in the order in which a cause comes before its consequences."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from btcfs.diagnosis import Diagnosis
from btcfs.errors import AuthError, BtcfsError, ConfigError
from btcfs_hopsworks.address import SCOPES, Address, resolve

_PORTS = {5005: "the Query Service, for offline reads", 3306: "MySQL, for the catalogue and vectors"}
_PATIENCE = 5.0


def diagnoses(options: Mapping[str, Any]) -> Iterator[Diagnosis]:
    """The checks for these options of ``[backends.hopsworks]``; what a failed one makes meaningless is left out."""
    yield _client()
    yield from _proxies(options)
    try:
        address = _address(options)
    except ConfigError as exc:
        yield Diagnosis("hopsworks_settings", False, str(exc), "see docs/hopsworks.md")
        return
    except AuthError as exc:
        yield Diagnosis("hopsworks_key", False, str(exc), "set HOPSWORKS_API_KEY, in the environment or in .env")
        return
    yield Diagnosis("hopsworks_settings", True, f"{address.title}, from the settings and HOPSWORKS_* variables")
    reached = _reached(address, address.port, "REST")
    yield reached
    if not reached.passed:
        return
    yield _tls(address)
    project = _project(address)
    yield project
    if project.passed:
        yield from (_reached(address, port, what) for port, what in _PORTS.items())


def _client() -> Diagnosis:
    from btcfs_hopsworks.gateway.session import client_version

    try:
        return Diagnosis("hopsworks_client", True, f"hopsworks {client_version()} is installed")
    except ConfigError as exc:
        return Diagnosis("hopsworks_client", False, str(exc), "pip install 'btcfs[hopsworks]'")


def _proxies(options: Mapping[str, Any]) -> Iterator[Diagnosis]:
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if not proxy:
        return
    host = str(options.get("host") or os.environ.get("HOPSWORKS_HOST") or "")
    excepted = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    if host and any(part.strip() and host.endswith(part.strip()) for part in excepted.split(",")):
        yield Diagnosis("hopsworks_proxy", True, f"HTTPS_PROXY is set, and NO_PROXY excepts {host}")
        return
    text = "HTTPS_PROXY is set; REST goes through it, Kafka, Flight (5005) and MySQL (3306) do not"
    yield Diagnosis("hopsworks_proxy", None, text, f"add {host or 'the host'} to NO_PROXY if it is reached without")


def _address(options: Mapping[str, Any]) -> Address:
    secret = options.get("api_key")
    names = ("project", "host", "hostname_verification", "trust_store_path", "cert_folder")
    return resolve(
        os.environ,
        **{name: options.get(name) for name in names},
        port=options.get("port"),
        api_key=secret() if callable(secret) else secret,
        timeout=float(options.get("timeout", 30.0)),
        write_timeout=float(options.get("write_timeout", 600.0)),
    )


def _reached(address: Address, port: int, what: str) -> Diagnosis:
    name = f"hopsworks_port_{port}" if port in _PORTS else "hopsworks_host"
    try:
        socket.create_connection((address.host, port), _PATIENCE).close()
    except OSError as exc:
        remedy = f"open port {port} to {address.host} in the firewall; a cluster may serve it on another host"
        # A cluster's load balancer may have hosts of its own for these; only the client is told which.
        passed = None if port in _PORTS else False
        return Diagnosis(name, passed, f"{address.host}:{port} ({what}) is not reached: {exc}", remedy)
    return Diagnosis(name, True, f"{address.host}:{port} ({what}) is reached")


def _tls(address: Address) -> Diagnosis:
    if not address.hostname_verification:
        text = "the cluster's certificate is not checked (hostname_verification is false, the client's default)"
        return Diagnosis(
            "hopsworks_tls", None, text, "set hostname_verification, and trust_store_path for a private authority"
        )
    context = ssl.create_default_context(cafile=address.trust_store_path)
    try:
        with (
            socket.create_connection((address.host, address.port), _PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=address.host),
        ):
            return Diagnosis("hopsworks_tls", True, "the cluster's certificate is valid for its name")
    except (OSError, ssl.SSLError) as exc:
        return Diagnosis(
            "hopsworks_tls", False, f"the certificate is refused: {exc}", "check trust_store_path and the host's name"
        )


def _project(address: Address) -> Diagnosis:
    from btcfs_hopsworks.gateway.session import visible_projects

    try:
        names = visible_projects(address)
    except AuthError as exc:
        remedy = f"make a key under Account Settings, API, with the scopes {', '.join(SCOPES)}"
        return Diagnosis("hopsworks_key", False, str(exc), remedy)
    except BtcfsError as exc:
        return Diagnosis(
            "hopsworks_rest", False, str(exc), "look at the cluster's health, the proxy and the certificate"
        )
    if address.project not in names:
        text = f"the key is good, and sees {', '.join(names) or 'no project'}, but not {address.project}"
        return Diagnosis("hopsworks_project", False, text, "set project in [backends.hopsworks], or HOPSWORKS_PROJECT")
    return Diagnosis("hopsworks_project", True, f"the key sees project {address.project}")
