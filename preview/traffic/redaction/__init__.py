"""Redaction: secrets in requests and responses are replaced before anything is stored."""

from preview.traffic.redaction.messages import Redaction, Redactor, decoded, keeps_body

__all__ = ["Redaction", "Redactor", "decoded", "keeps_body"]
