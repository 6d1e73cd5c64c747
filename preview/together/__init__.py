"""People who look at one preview together: who is present, and their comments."""

from preview.together.comments import Comment, Comments
from preview.together.presence import OWNER_ID, Presence, Room, Viewer
from preview.together.target import Target, TargetKind

__all__ = ["OWNER_ID", "Comment", "Comments", "Presence", "Room", "Target", "TargetKind", "Viewer"]
