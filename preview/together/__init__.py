"""People who look at previews together: who is present, their comments, and news of what changes."""

from preview.together.comments import Comment, Comments
from preview.together.events import EventBook, UserEvent, UserEvents
from preview.together.node_events import NodeEvents
from preview.together.presence import OWNER_ID, Audience, Paces, Presence, Viewer
from preview.together.saved import SavedRequest, SavedRequests
from preview.together.target import Target, TargetKind
from preview.together.variables import Filling, RequestVariables, Values, Variable

__all__ = [
    "OWNER_ID",
    "Audience",
    "Comment",
    "Comments",
    "EventBook",
    "Filling",
    "NodeEvents",
    "Paces",
    "Presence",
    "RequestVariables",
    "SavedRequest",
    "SavedRequests",
    "Target",
    "TargetKind",
    "UserEvent",
    "UserEvents",
    "Values",
    "Variable",
    "Viewer",
]
