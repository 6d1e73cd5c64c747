"""Servers of the operator's, in place of those that the service runs: a role and a database there for each preview."""

from __future__ import annotations

__all__: list[str] = []
