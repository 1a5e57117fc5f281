"""The certificates of one emulated cluster: an authority of its own, its servers' certificate and its users' keys."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey

_VALID = timedelta(days=30)


@attrs.frozen
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = attrs.field(repr=False)


@attrs.frozen
class Certificates:
    """Everything of one cluster that is signed.

    ``keystore``, ``truststore`` and ``password`` are what a login downloads beside the PEM files; a client of an
    external Kafka stores them and never opens them, so they are random bytes.
    """

    authority: bytes
    server: Pair
    client: Pair
    keystore: bytes = attrs.field(factory=lambda: secrets.token_bytes(256), repr=False)
    truststore: bytes = attrs.field(factory=lambda: secrets.token_bytes(256), repr=False)
    password: str = attrs.field(factory=lambda: secrets.token_hex(32), repr=False)

    def write(self, folder: Path) -> tuple[Path, Path, Path]:
        """Files of the authority, the server's certificate and its key, for servers that read from disk."""
        paths = (folder / "ca.pem", folder / "server.pem", folder / "server.key")
        for path, content in zip(paths, (self.authority, self.server.certificate, self.server.key), strict=True):
            path.touch(mode=0o600)
            path.write_bytes(content)
        return paths


def issue(domain: str, addresses: Sequence[str] = ("127.0.0.1",), user: str = "emulator") -> Certificates:
    """A new authority with a server for these addresses and a client for this user.

    The server's names are ``localhost``, the addresses and ``flyingduck.service.<domain>``, which the client insists
    on for the query service.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName(f"flyingduck.service.{domain}")]
    for address in dict.fromkeys(("127.0.0.1", *addresses)):
        names.append(x509.IPAddress(ipaddress.ip_address(address)))
    return Certificates(
        authority=authority.public_bytes(serialization.Encoding.PEM),
        server=_signed("emulator", authority, authority_key, ExtendedKeyUsageOID.SERVER_AUTH, names),
        client=_signed(user, authority, authority_key, ExtendedKeyUsageOID.CLIENT_AUTH, []),
    )


def _authority(key: Key) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hopsworks emulator CA")])
    return (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _signed(
    name: str,
    authority: x509.Certificate,
    authority_key: Key,
    purpose: x509.ObjectIdentifier,
    alternatives: Sequence[x509.GeneralName],
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, authority.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(authority_key, hashes.SHA256())
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
    )


def _usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
