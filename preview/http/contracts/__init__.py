"""Every JSON answer of both documents, each described once: its keys, its schema, and what it is made from."""

from preview.http.contracts.both import ANSWERS
from preview.http.contracts.shared import Facts

__all__ = ["ANSWERS", "Facts"]
