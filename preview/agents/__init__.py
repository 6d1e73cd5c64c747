"""Tools for AI agents: an MCP server on the Python client, over stdio and HTTP.

The SDK (extra ``preview[mcp]``) takes about a second to import. So this module imports nothing; ``serving`` imports the
SDK when an agent connects.
"""

from __future__ import annotations

__all__: list[str] = []
