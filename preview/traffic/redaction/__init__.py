"""Redaction: secrets in requests and responses are replaced before anything is stored."""

from preview.traffic.redaction.messages import Redactor

__all__ = ["Redactor"]
