"""A failure: exceptions with their frames, as they were printed; and the record of all failures of one cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

MAX_FRAMES = 60
"""Most frames that are kept of one exception."""

MAX_EXCEPTIONS = 10
"""Most exceptions that are kept of one failure: causes, and members of groups."""

MAX_MESSAGE = 2_000
"""Most characters of a message."""

MAX_NAME = 400
"""Most characters of a type, a path, a function or a line of code."""


class Language(StrEnum):
    """Language of a program."""

    PYTHON = "python"
    NODE = "node"
    PROCESS = "process"  # of any language: the process itself has ended


class Relation(StrEnum):
    """Relation of an exception to the failure that reached the server."""

    RAISED = "raised"  # the one that reached the server
    CAUSE = "cause"  # another exception was raised from it
    CONTEXT = "context"  # another one was raised while it was handled
    MEMBER = "member"  # of a group
    GROUP = "group"  # the group that has the failure as its only member


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in a stack.

    Attributes:
        path: File; relative to the project for its own code.
        line: Line number, from 1; 0 if unknown.
        function: Function; empty outside of functions, and if it has no name.
        code: The line's text, as the program printed it; empty if it did not.
        is_own: True for the project's own code; False for packages, the language's library and launchers.
    """

    path: str
    line: int
    function: str = ""
    code: str = ""
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Raised:
    """One exception.

    Attributes:
        type: Name of its class, with its module if the program prints it.
        message: Its text; may have several lines.
        frames: The stack, innermost first, at most ``MAX_FRAMES``.
        relation: Relation to the failure.
    """

    type: str
    message: str
    frames: tuple[Frame, ...] = ()
    relation: Relation = Relation.RAISED

    @property
    def deepest_own(self) -> Frame | None:
        """The innermost frame of the project's own code."""
        return next((frame for frame in self.frames if frame.is_own), None)


@dataclass(frozen=True, slots=True)
class Failure:
    """A traceback that was found in a log.

    Attributes:
        language: Language of the program.
        exceptions: The exception that reached the server first, then its causes, the nearest first; at least one.
        first_seq: Number of its first line.
        last_seq: Number of its last line.
        timestamp_ms: Time of its first line, in milliseconds since the epoch.
        request_id: Request that its lines belong to, if known.
        is_startup: True if it was printed before the preview was ready.
    """

    language: Language
    exceptions: tuple[Raised, ...]
    first_seq: int
    last_seq: int
    timestamp_ms: int = 0
    request_id: str | None = None
    is_startup: bool = False

    @property
    def type(self) -> str:
        """Type of the exception that reached the server."""
        return self.exceptions[0].type

    @property
    def message(self) -> str:
        """Message of the exception that reached the server."""
        return self.exceptions[0].message


@dataclass(frozen=True, slots=True)
class SourceLines:
    """Lines of a file around a frame, as they were when the failure was read.

    Attributes:
        path: File, relative to the project.
        line: The frame's line.
        first_line: Number of the first of ``lines``.
        lines: Their texts, without line ends.
    """

    path: str
    line: int
    first_line: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time at which a failure occurred.

    Attributes:
        timestamp_ms: Milliseconds since the epoch.
        first_seq: Number of its first line.
        last_seq: Number of its last line.
        request_id: Its request, if known.
        reload: Number of processes that had taken over before: 0 for the first process.
        is_startup: True if it was before the preview was ready.
        message: Start of its message.
    """

    timestamp_ms: int
    first_seq: int
    last_seq: int
    request_id: str | None
    reload: int
    is_startup: bool = False
    message: str = ""


@dataclass(slots=True)
class FailureRecord:
    """All failures of one cause in one preview.

    Attributes:
        preview_id: The preview.
        id: Name of the record in its preview: the first digits of the fingerprint.
        fingerprint: Hash of type and place; the same in each preview of the project.
        language: Language of the program.
        exceptions: Of the first occurrence in the newest reload with one; see ``Failure``.
        frame: The place to look at: the deepest frame of the project's own code; None if it has none.
        source: Source around that frame; None if it could not be read.
        count: Number of occurrences.
        occurrences: The first one and the newest ones, oldest first.
    """

    preview_id: str
    id: str
    fingerprint: str
    language: Language
    exceptions: tuple[Raised, ...]
    frame: Frame | None
    source: SourceLines | None
    count: int = 0
    occurrences: list[Occurrence] = field(default_factory=list)

    @property
    def type(self) -> str:
        """Type of the exception that reached the server."""
        return self.exceptions[0].type

    @property
    def message(self) -> str:
        """Message that its exceptions have."""
        return self.exceptions[0].message

    @property
    def first(self) -> Occurrence:
        """The first occurrence."""
        return self.occurrences[0]

    @property
    def last(self) -> Occurrence:
        """The newest occurrence."""
        return self.occurrences[-1]
