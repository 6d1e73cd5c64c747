"""The Python client of a preview service; it imports nothing else of ``preview``, and can be installed alone.

Each name is imported on first use (PEP 562): the synchronous client does not load the asynchronous one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from preview.client.asynchronous import AsyncAnswer, AsyncClient, AsyncLog, AsyncPreview
    from preview.client.blocking import Answer, Client, Log, Preview
    from preview.client.calls import Call, Reply
    from preview.client.errors import ClientError, InvalidAnswer, InvalidUpload, PreviewProblem, Unreachable
    from preview.client.events import End, Event, Gap, Line, Status
    from preview.client.models import Failure, PreviewStatus, RecordedRequest, Snapshot, Step

__all__ = [
    "Answer",
    "AsyncAnswer",
    "AsyncClient",
    "AsyncLog",
    "AsyncPreview",
    "Call",
    "Client",
    "ClientError",
    "End",
    "Event",
    "Failure",
    "Gap",
    "InvalidAnswer",
    "InvalidUpload",
    "Line",
    "Log",
    "Preview",
    "PreviewProblem",
    "PreviewStatus",
    "RecordedRequest",
    "Reply",
    "Snapshot",
    "Status",
    "Step",
    "Unreachable",
]

_HOMES = {
    "Answer": "preview.client.blocking",
    "AsyncAnswer": "preview.client.asynchronous",
    "AsyncClient": "preview.client.asynchronous",
    "AsyncLog": "preview.client.asynchronous",
    "AsyncPreview": "preview.client.asynchronous",
    "Call": "preview.client.calls",
    "Client": "preview.client.blocking",
    "ClientError": "preview.client.errors",
    "End": "preview.client.events",
    "Event": "preview.client.events",
    "Failure": "preview.client.models",
    "Gap": "preview.client.events",
    "InvalidAnswer": "preview.client.errors",
    "InvalidUpload": "preview.client.errors",
    "Line": "preview.client.events",
    "Log": "preview.client.blocking",
    "Preview": "preview.client.blocking",
    "PreviewProblem": "preview.client.errors",
    "PreviewStatus": "preview.client.models",
    "RecordedRequest": "preview.client.models",
    "Reply": "preview.client.calls",
    "Snapshot": "preview.client.models",
    "Status": "preview.client.events",
    "Step": "preview.client.models",
    "Unreachable": "preview.client.errors",
}


def __getattr__(name: str) -> object:
    """Import a name of ``__all__`` from the module that defines it (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'preview.client' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
