"""Redaction: secrets in requests and responses are replaced before anything is stored."""

from preview.traffic.redaction.messages import Redaction, Redactor, decoded

__all__ = ["Redaction", "Redactor", "decoded"]
