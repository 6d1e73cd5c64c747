"""People who look at one preview together: who is present, and their comments."""

from preview.together.comments import Comment, Comments
from preview.together.presence import OWNER_ID, Audience, Presence, Viewer
from preview.together.target import Target, TargetKind

__all__ = ["OWNER_ID", "Audience", "Comment", "Comments", "Presence", "Target", "TargetKind", "Viewer"]
