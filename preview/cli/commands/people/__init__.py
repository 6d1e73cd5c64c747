"""Commands about people: share links, invitations, comments, API tokens, usage."""

from __future__ import annotations

__all__: list[str] = []
