"""The service inside a host that runs asyncio: trio as a guest of the host's loop. Nothing here starts at import."""

from preview.embedding.bridge import AsyncioBridge
from preview.embedding.library import in_asyncio

__all__ = ["AsyncioBridge", "in_asyncio"]
