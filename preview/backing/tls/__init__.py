"""Encryption of previews' connections to their databases, for projects whose source insists on it."""

from preview.backing.tls.front import TlsFront, certificate_file

__all__ = ["TlsFront", "certificate_file"]
