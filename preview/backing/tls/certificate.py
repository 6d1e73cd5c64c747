"""The certificate that previews' databases show; no authority has signed it."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from preview.core.servers import SERVICE_HOSTS

_DAY = timedelta(days=1)
_VALID = timedelta(days=3650)


def make_certificate() -> tuple[bytes, bytes]:
    """Return a new certificate and its key (PEM), for localhost and all names that lead to previews' databases."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "databases of previews")])
    now = datetime.now(UTC)
    hosts = [x509.DNSName(host) for host in ("localhost", *SERVICE_HOSTS)]
    addresses = [x509.IPAddress(ipaddress.ip_address(one)) for one in ("127.0.0.1", "::1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([*hosts, *addresses]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
