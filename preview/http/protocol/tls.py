"""The certificate that the service shows, looked at before anybody connects: what is wrong is said at the start."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509

from preview.core.clock import utc_now
from preview.errors import ConfigurationError


def check_certificate(cert: Path, key: Path, password: str | None = None) -> None:
    """Nothing, where both files can be used.

    Args:
        cert: The certificate, PEM, with those that have signed it behind it.
        key: Its private key, PEM.
        password: Of the key, if it has one.

    Raises:
        ConfigurationError: A file cannot be read or is no PEM, they do not belong together, or it is not the time of
            the certificate.
    """
    try:
        text = cert.read_bytes()
        key.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename} cannot be read for TLS ({error.strerror}); name another file."
        ) from error
    try:
        shown = x509.load_pem_x509_certificate(text)
    except ValueError as error:
        raise ConfigurationError(f"{cert} holds no certificate in PEM form; name the file with the chain.") from error
    try:
        # Without a word it would be asked for at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password or "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"{key} is not the key of {cert}; name the one it was issued for.") from error
        raise ConfigurationError(
            f"{cert} and {key} cannot be used for TLS ({error.reason or 'no PEM, or a wrong password'})."
        ) from error
    _check_time(cert, shown.not_valid_before_utc, shown.not_valid_after_utc)


def _check_time(cert: Path, begin: datetime, end: datetime) -> None:
    now = utc_now()
    if now >= end:
        raise ConfigurationError(f"The certificate in {cert} has expired on {end:%Y-%m-%d}; renew it.")
    if now < begin:
        raise ConfigurationError(
            f"The certificate in {cert} is valid from {begin:%Y-%m-%d %H:%M} UTC on only; look at this machine's clock."
        )
