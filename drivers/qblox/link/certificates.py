"""Keys of both ends, and whom they trust: exactly the certificates in a folder, and no authority.

Every peer makes a certificate of its own, and the other side is given it: by its fingerprint, which
a person compares, or as a file. Several may be trusted at once, so that a key is renewed without a
moment in which neither is. Whoever listens or dials follows the folder: nothing is restarted.
"""

from __future__ import annotations

import datetime
import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from qpuflow.domain.errors import InputError, OperatorNeeded

SERVER_NAME = "qpuflow-peer"
"""In every certificate: who a peer is, is told by its key and not by its address."""
VALID = datetime.timedelta(days=730)
NEW_KEYS = "Run `qpuflow rack rotate` again, or make new keys."
Stamp = tuple[tuple[str, int, int], ...]


class NobodyTrusted(OperatorNeeded):
    """There is nobody with whom one could talk."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What one side shows, and whom it trusts, at one time. All in PEM format."""

    certificate: str
    key: str = field(repr=False)
    trusted: str


@dataclass(frozen=True, slots=True)
class Keys:
    """A folder with ``key.pem``, ``certificate.pem`` and ``trusted/*.pem``.

    In ``next`` are, between `renew` and `rotate`, the key and the certificate to come.
    """

    folder: Path

    @property
    def stamp(self) -> Stamp:
        """Another one whenever something in the folder was replaced."""
        files = (self.folder / "key.pem", self.folder / "certificate.pem", *self._trusted_files)
        return tuple((file.name, *_stamp(file)) for file in files)

    @property
    def identity(self) -> Identity:
        """As the files are now. `OperatorNeeded` while they do not belong together."""
        certificate, key = self.certificate, self.key
        _require_pair(certificate, key, self.folder)
        return Identity(certificate, key, self.trusted())

    @property
    def _trusted_files(self) -> list[Path]:
        return sorted((self.folder / "trusted").glob("*.pem"))

    @property
    def certificate(self) -> str:
        return self._read("certificate.pem")

    @property
    def key(self) -> str:
        return self._read("key.pem")

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)

    @property
    def expires_at(self) -> datetime.datetime:
        """The last moment at which the other side accepts this side's certificate."""
        file = self.folder / "certificate.pem"
        return _parsed(self.certificate, file).not_valid_after_utc

    def trusted_until(self) -> dict[str, datetime.datetime]:
        """When each trusted certificate ends, by its file's name."""
        files = self._trusted_files
        return {file.name: _parsed(_text(file), file).not_valid_after_utc for file in files}

    def trusted(self) -> str:
        """All trusted certificates; `OperatorNeeded` where there is none that is still valid."""
        files = self._trusted_files
        valid = [text for file in files if _is_valid(text := _text(file), file)]
        if not valid:
            expired = f", and {len(files)} that have expired" if files else ""
            raise NobodyTrusted(
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
        _write(folder / f"{name[:16]}.pem", certificate)
        return name

    def distrust(self, name: str) -> None:
        """The certificate with this fingerprint. `InputError` unless it is trusted."""
        found = [file for file in self._trusted_files if _has(file, name)]
        if not found:
            raise InputError(
                f"No certificate with the fingerprint {name} is trusted",
                where=str(self.folder / "trusted"),
            )
        for file in found:
            file.unlink()

    def renew(self, valid: datetime.timedelta = VALID) -> Keys:
        """Prepare the next key; one that is prepared already stays, for others may trust it."""
        return make_keys(self.folder / "next", valid)

    def rotate(self) -> None:
        """From now on the next key is this side's. A rotation that was cut off is completed."""
        coming = self.folder / "next"
        files = [
            file for name in ("key.pem", "certificate.pem") if (file := coming / name).exists()
        ]
        if not files:
            raise InputError(
                "There is no next key",
                where=str(self.folder),
                remedy="Run `qpuflow rack keys --renew`, and have the other side trust it.",
            )
        for file in files:
            file.replace(self.folder / file.name)
        coming.rmdir()

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text()
        except (OSError, ValueError) as error:
            raise OperatorNeeded(
                f"{name} cannot be read: {error}",
                where=str(self.folder),
                remedy="Run `qpuflow rack keys` and `qpuflow rack pair` first.",
            ) from error


def make_keys(folder: Path, valid: datetime.timedelta = VALID) -> Keys:
    """What is there already stays."""
    keys = Keys(folder)
    if not (folder / "key.pem").exists():
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = _self_signed(valid)
        # The key is the last: where it is, its certificate is, too.
        _write(folder / "certificate.pem", certificate)
        _write(folder / "key.pem", key, mode=0o600)
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


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    """Whoever follows the folder sees all of it, or nothing."""
    draft = file.with_name(f".{file.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=mode)
    draft.write_text(text)
    draft.replace(file)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError) as error:
        raise _no_certificate(file, error) from error


def _parsed(certificate: str, file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate.encode())
    except ValueError as error:
        raise _no_certificate(file, error) from error


def _has(file: Path, name: str) -> bool:
    """False of a file that is no certificate: it keeps nobody from trusting another no more."""
    try:
        return fingerprint(_text(file)) == name
    except (InputError, OperatorNeeded):
        return False


def _no_certificate(file: Path, error: Exception) -> OperatorNeeded:
    return OperatorNeeded(
        f"{file.name} is no certificate that can be read: {error}",
        where=str(file.parent),
        remedy="Remove it, and run `qpuflow rack keys` or `qpuflow rack pair` again.",
    )


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)


def _require_pair(certificate: str, key: str, folder: Path) -> None:
    """A pair that is being replaced may be seen half old and half new."""
    shown = _parsed(certificate, folder / "certificate.pem")
    try:
        private = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OperatorNeeded(
            "key.pem is no private key without a password", where=str(folder), remedy=NEW_KEYS
        ) from error
    if shown.public_key() != private.public_key():
        raise OperatorNeeded(
            "The key is not that of the certificate",
            where=str(folder),
            remedy=NEW_KEYS,
        )
    if not _is_valid(certificate, folder / "certificate.pem"):
        raise OperatorNeeded(
            f"The certificate has expired, on {shown.not_valid_after_utc:%Y-%m-%d}",
            where=str(folder / "certificate.pem"),
            remedy="Run `qpuflow rack keys --renew` and `qpuflow rack rotate`.",
        )


def _is_valid(certificate: str, file: Path) -> bool:
    return _parsed(certificate, file).not_valid_after_utc > datetime.datetime.now(datetime.UTC)


def _self_signed(valid: datetime.timedelta) -> tuple[str, str]:
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
        .not_valid_after(now + valid)
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
