"""Launch generated backends in isolation, watch every line they print, call them, and leave nothing behind.

These names are the API for host applications. Each is imported on first use (PEP 562), so ``import preview.errors``
does not load a web framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preview.lazy_imports import importer

if TYPE_CHECKING:
    from preview.auth import Identity
    from preview.errors import PreviewError
    from preview.generations import Generation, GenerationSource
    from preview.http import PreviewApp, create_app, serve
    from preview.service import Service, open_service
    from preview.settings import Settings, load_settings
    from preview.user import User

__all__ = [
    "Generation",
    "GenerationSource",
    "Identity",
    "PreviewApp",
    "PreviewError",
    "Service",
    "Settings",
    "User",
    "create_app",
    "load_settings",
    "open_service",
    "serve",
]

__getattr__ = importer(
    __name__,
    {
        "Generation": "preview.generations",
        "GenerationSource": "preview.generations",
        "Identity": "preview.auth",
        "PreviewApp": "preview.http",
        "PreviewError": "preview.errors",
        "Service": "preview.service",
        "Settings": "preview.settings",
        "User": "preview.user",
        "create_app": "preview.http",
        "load_settings": "preview.settings",
        "open_service": "preview.service",
        "serve": "preview.http",
    },
)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
