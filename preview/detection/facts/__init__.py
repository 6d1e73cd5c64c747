"""Calls of an application's files, at startup and later, and the addresses written in them."""

from preview.detection.facts.model import Address, Call, Facts
from preview.detection.facts.read import read_facts

__all__ = ["Address", "Call", "Facts", "read_facts"]
