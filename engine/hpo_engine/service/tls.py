"""TLS: the context for a given or a self-made certificate."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hpo_engine.errors import SpecError
from hpo_engine.system.files import put_in_place
from hpo_engine.system.writing import write_all

_DAYS = 825  # the most that some clients accept
_REMAKE_DAYS = 30
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Certificate(NamedTuple):
    """Files in PEM; `fingerprint`: SHA-256, as browsers show it; `names`: what it is for."""

    path: str
    key_path: str
    fingerprint: str
    names: frozenset[str]


def context(path: str, key_path: str | None) -> ssl.SSLContext:
    """Raises SpecError if the files are not a certificate and its key."""
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        found.load_cert_chain(path, key_path, password=_refuse_to_ask)
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        raise SpecError(f"{path}: no certificate (PEM) with the key in {key_path or path}: {reason}") from None
    except OSError as error:
        raise SpecError(f"{path} or {key_path or path} cannot be read: {error.strerror}") from None
    return found


def read(path: str, key_path: str | None) -> Certificate:
    """Raises SpecError."""
    try:
        with open(path, "rb") as file:
            found = x509.load_pem_x509_certificate(file.read())
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: no certificate (PEM){_reason(error)}") from None
    digest = found.fingerprint(hashes.SHA256()).hex(":").upper()
    return Certificate(path, key_path or path, digest, _names(found))


def self_made(folder: str, names: Iterable[str]) -> Certificate:
    """The certificate in the folder, made for these names and addresses if there is none that is valid for a while.

    One that is there stays, as clients may have its fingerprint, also if it lacks some of the names.
    """
    path, key_path = f"{folder}/cert.pem", f"{folder}/key.pem"
    os.makedirs(folder, 0o700, exist_ok=True)
    if not _usable(path, key_path):
        _make(path, key_path, sorted(set(names)))
    return read(path, key_path)


def _usable(path: str, key_path: str) -> bool:
    try:
        context(path, key_path)
        with open(path, "rb") as file:
            ends = x509.load_pem_x509_certificate(file.read()).not_valid_after_utc
    except (SpecError, OSError, ValueError):
        return False
    return ends > _now() + datetime.timedelta(days=_REMAKE_DAYS)


def _make(path: str, key_path: str, names: list[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hpo-engine, self-made")])
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(_now() + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        # it signs itself, so that it can be trusted like an authority: requests.get(..., verify="cert.pem")
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    _write(key_path, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain), 0o600)
    _write(path, certificate.public_bytes(pem), 0o644)


def _write(path: str, data: bytes, mode: int) -> None:
    aside = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside)
    fd = os.open(aside, _NEW, mode)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    put_in_place(aside, path)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> frozenset[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return frozenset([*names.get_values_for_type(x509.DNSName), *addresses])


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _reason(error: Exception) -> str:
    return f": {error.strerror}" if isinstance(error, OSError) else ""


def _refuse_to_ask() -> str:
    raise SpecError("the key has a passphrase; the service cannot type one, so give it a key without")
