"""Network access of builds: a forward proxy in the service that reaches only package indexes."""

from __future__ import annotations

__all__: list[str] = []
