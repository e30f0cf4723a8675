"""Keys of both ends, and whom they trust: exactly the certificates in a folder, and no authority.

Every peer makes a certificate of its own, and the other side is given it: by its fingerprint, which
a person compares, or as a file. Several may be trusted at once, so that a key is renewed without a
moment in which neither is.
"""

from __future__ import annotations

import datetime
import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from qpuflow.domain.errors import InputError, OperatorNeeded

SERVER_NAME = "qpuflow-peer"
"""In every certificate: who a peer is, is told by its key and not by its address."""
VALID_DAYS = 730


@dataclass(frozen=True, slots=True)
class Keys:
    """A folder with ``key.pem``, ``certificate.pem`` and ``trusted/*.pem``."""

    folder: Path

    @property
    def certificate(self) -> str:
        return self._read("certificate.pem")

    @property
    def key(self) -> str:
        return self._read("key.pem")

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)

    def trusted(self) -> str:
        """All trusted certificates; `OperatorNeeded` where there is none that is still valid."""
        files = sorted((self.folder / "trusted").glob("*.pem"))
        valid = [text for file in files if _is_valid(text := file.read_text())]
        if not valid:
            expired = f", and {len(files)} that have expired" if files else ""
            raise OperatorNeeded(
                f"No trusted certificate{expired}",
                where=str(self.folder / "trusted"),
                remedy="Run `qpuflow rack pair` on both sides.",
            )
        return "\n".join(valid)

    def trust(self, certificate: str) -> str:
        """Its fingerprint."""
        name = fingerprint(certificate)
        folder = self.folder / "trusted"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name[:16]}.pem").write_text(certificate)
        return name

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text()
        except OSError as error:
            raise OperatorNeeded(
                f"The key cannot be read: {error}", remedy="Run `qpuflow rack pair` first."
            ) from error


def make_keys(folder: Path, *, renew: bool = False) -> Keys:
    """What is there already stays, unless it shall be renewed."""
    keys = Keys(folder)
    if renew or not (folder / "key.pem").exists():
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = _self_signed()
        file = folder / "key.pem"
        file.touch(mode=0o600)
        file.write_text(key)
        (folder / "certificate.pem").write_text(certificate)
    return keys


def fingerprint(certificate: str) -> str:
    """SHA-256 of the certificate, in hexadecimal."""
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
    except ValueError as error:
        raise InputError("No certificate in PEM format") from error


def shown_at(host: str, port: int) -> str:
    """The certificate of whoever listens there; a person says whether it is the right one."""
    try:
        return ssl.get_server_certificate((host, port), timeout=5)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"Nobody shows a certificate at {host}:{port}: {error}") from error


def _is_valid(certificate: str) -> bool:
    until = x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc
    return until > datetime.datetime.now(datetime.UTC)


def _self_signed() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()
