"""The Python client of a preview service; it imports nothing else of ``preview``, and can be installed alone."""

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
