"""Redaction: secrets in requests and responses are replaced before anything is stored."""

from preview.traffic.redaction.messages import TARGET_CHARACTERS, Redaction, Redactor, decoded, keeps_body

__all__ = ["TARGET_CHARACTERS", "Redaction", "Redactor", "decoded", "keeps_body"]
