"""Presence: who looks at a preview now, and at which line or request. Nothing of it is stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from preview.core.bounded_dict import BoundedDict
from preview.people_errors import TooFast
from preview.together.target import Target

OWNER_ID = "owner"
"""Id of the owner, who is one viewer however many pages are open."""
# News of one audience that a slow reader may still get; beyond that it reads the comments again.
_MOST_NEWS = 100
# A position each 200 ms on average, and a few at once.
_MOVES_PER_S = 5.0
_MOVES_AT_ONCE = 10.0
_COMMENTS_PER_S = 0.5
_COMMENTS_AT_ONCE = 10.0
# Changes and deletions of comments: a person may tidy up a list.
_EDITS_PER_S = 5.0
_EDITS_AT_ONCE = 20.0
# Requests of a guest to the preview, and replays on a trial, which starts a process.
_REQUESTS_PER_S = 5.0
_REQUESTS_AT_ONCE = 30.0
_TRIALS_PER_S = 0.1
_TRIALS_AT_ONCE = 3.0
# People of one audience whose pace is remembered.
_MOST_PACES = 200


class Pace:
    """A number of actions at once, and some more each second.

    Args:
        per_s: Further actions per second.
        at_once: Most actions at once.
    """

    def __init__(self, per_s: float, at_once: float) -> None:
        self._per_s = per_s
        self._at_once = at_once
        self._left = at_once
        self._seen_at = trio.current_time()

    def spend(self, what: str) -> None:
        """Use one action up.

        Raises:
            TooFast: There is none left.
        """
        now = trio.current_time()
        self._left = min(self._at_once, self._left + (now - self._seen_at) * self._per_s)
        self._seen_at = now
        if self._left < 1:
            pace = f"{self._per_s:g} times a second" if self._per_s >= 1 else f"once every {1 / self._per_s:g} seconds"
            raise TooFast(f"{what} are accepted {pace}; wait a moment.")
        self._left -= 1


class Paces:
    """The pace of one kind of action, for each of the people who acted last.

    Args:
        what: The actions, as the beginning of a sentence.
        per_s: Further actions per second.
        at_once: Most actions at once.
    """

    def __init__(self, what: str, per_s: float, at_once: float) -> None:
        self._what = what
        self._per_s = per_s
        self._at_once = at_once
        self._of: BoundedDict[str, Pace] = BoundedDict(_MOST_PACES)

    def spend(self, key: str) -> None:
        """Count an action of this person.

        Raises:
            TooFast: The person acts too often.
        """
        pace = self._of.use(key) or Pace(self._per_s, self._at_once)
        self._of[key] = pace
        pace.spend(self._what)


@dataclass(slots=True)
class Viewer:
    """A person who looks at the preview.

    Attributes:
        id: A guest's id, or ``OWNER_ID``.
        role: ``owner``, ``watch`` or ``use``.
        colour: Index of a colour; 0 is the owner's.
        target: The line or request that the person looks at; None for none.
        pages: Number of open pages.
        pace: Limits changes of the target.
    """

    id: str
    name: str
    role: str
    colour: int
    target: Target | None = None
    pages: int = 0
    pace: Pace = field(default_factory=lambda: Pace(_MOVES_PER_S, _MOVES_AT_ONCE))


@dataclass(frozen=True, slots=True)
class News:
    """Something that readers of a audience learn at once.

    Attributes:
        number: From 1 in its audience, without gaps.
        name: Name of the event.
        data: JSON text.
    """

    number: int
    name: str
    data: str


class Audience:
    """The people at one preview, and the news for them.

    Attributes:
        version: Incremented by each change of the viewers.
        last_news: Number of the newest news.
        removed: Ids of guests whom the owner has removed.
        unread: Number of comments of guests since the owner has read them.
        comments: Pace of new comments.
        edits: Pace of changed and deleted comments.
        requests: Pace of guests' requests to the preview.
        trials: Pace of guests' replays, each on a trial.
    """

    def __init__(self) -> None:
        self.unread = 0
        self.version = 0
        self.last_news = 0
        self.removed: set[str] = set()
        self._viewers: dict[str, Viewer] = {}
        self._news: deque[News] = deque(maxlen=_MOST_NEWS)
        self._changed = trio.Event()
        self.comments = Paces("Comments", _COMMENTS_PER_S, _COMMENTS_AT_ONCE)
        self.edits = Paces("Edits of comments", _EDITS_PER_S, _EDITS_AT_ONCE)
        self.requests = Paces("Requests of guests", _REQUESTS_PER_S, _REQUESTS_AT_ONCE)
        self.trials = Paces("Replays of guests", _TRIALS_PER_S, _TRIALS_AT_ONCE)
        # The viewers as text, and the version that it shows.
        self._shown = (-1, "")

    @property
    def viewers(self) -> list[Viewer]:
        """Viewers with an open page, in the order in which they came."""
        return [one for one in self._viewers.values() if one.pages]

    def shown(self, render: Callable[[Sequence[Viewer]], str]) -> str:
        """Return the viewers as text: made once for each version, however many readers there are."""
        if self._shown[0] != self.version:
            self._shown = (self.version, render(self.viewers))
        return self._shown[1]

    def find(self, viewer_id: str) -> Viewer | None:
        """Return the viewer with this id who has a page open."""
        return self._viewers.get(viewer_id)

    @contextmanager
    def attending(self, viewer: Viewer) -> Iterator[None]:
        """Count one open page of this viewer."""
        known = self._viewers.setdefault(viewer.id, viewer)
        known.name, known.role = viewer.name, viewer.role
        known.pages += 1
        self.change()
        try:
            yield
        finally:
            known.pages -= 1
            if not known.pages and self._viewers.get(viewer.id) is known:
                del self._viewers[viewer.id]
            self.change()

    def spend_move(self, viewer_id: str) -> None:
        """Count a change of what others see of a viewer; one without an open page changes nothing.

        Raises:
            TooFast: The viewer changes it too often.
        """
        viewer = self._viewers.get(viewer_id)
        if viewer is not None:
            viewer.pace.spend("Positions and names")

    def move(self, viewer_id: str, target: Target | None) -> bool:
        """Set the line or request that a viewer looks at; return False for a viewer without an open page."""
        viewer = self._viewers.get(viewer_id)
        if viewer is None:
            return False
        if viewer.target != target:
            viewer.target = target
            self.change()
        return True

    def rename(self, viewer_id: str, name: str) -> None:
        """Show a viewer under another name."""
        viewer = self._viewers.get(viewer_id)
        if viewer is not None and viewer.name != name:
            viewer.name = name
            self.change()

    def remove(self, viewer_id: str) -> None:
        """Remove a viewer: their streams end, and say why."""
        self.removed.add(viewer_id)
        self._viewers.pop(viewer_id, None)
        self.change()

    def tell(self, name: str, data: str) -> None:
        """Send news to all readers."""
        self.last_news += 1
        self._news.append(News(self.last_news, name, data))
        self.change(viewers=False)

    def news_after(self, number: int) -> list[News] | None:
        """Return the news after this one; None if some are not kept any more."""
        found = [one for one in self._news if one.number > number]
        return found if len(found) == self.last_news - number else None

    def change(self, *, viewers: bool = True) -> None:
        """Wake all readers."""
        self.version += viewers
        self._changed.set()
        self._changed = trio.Event()

    async def wait(self) -> None:
        """Wait for the next change. Cancellation: nothing changes."""
        await self._changed.wait()


class Presence:
    """The audiences of all previews.

    Args:
        is_live: Returns whether a preview is live; the audiences of others are forgotten.
    """

    def __init__(self, is_live: Callable[[str], bool]) -> None:
        self._is_live = is_live
        self._audiences: dict[str, Audience] = {}

    def audience(self, preview_id: str) -> Audience:
        """Return the audience of a preview; one that is kept only while the preview is live or has viewers."""
        if preview_id not in self._audiences:
            for ended in [
                one for one, audience in self._audiences.items() if not self._is_live(one) and not audience.viewers
            ]:
                del self._audiences[ended]
            self._audiences[preview_id] = Audience()
        return self._audiences[preview_id]

    def is_connected(self, preview_id: str, viewer_id: str) -> bool:
        """Return whether this person has a page of the preview open."""
        audience = self._audiences.get(preview_id)
        return audience is not None and audience.find(viewer_id) is not None
