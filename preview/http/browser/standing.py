"""An admission that stands until something that it rests on has changed."""

from __future__ import annotations

from collections.abc import Callable

from preview.auth import AccessBook
from preview.http.browser.places import RESERVED, Place
from preview.http.browser.visitors import Visitor, may_look
from preview.proxy.admission import Admitted
from preview.supervisor import LivePreview


class CachedAuthorization:
    """See ``preview.proxy.admission.Reauthorize``: for a request whose admission nobody else can take back.

    Each request to a preview comes by here, so it is not asked again who may see what: it is only looked at whether any
    of the preview, the book of access and the time is another than when that was asked. Then it is asked, at once.

    Args:
        preview: To which it is.
        visitor: Whose request it was.
        place: Where it went.
        admit: Makes the admission for now. Raises where the preview does not serve.
        book: Of access to all previews.
        is_live: Whether the preview is the one that is found by its id.
    """

    __slots__ = (
        *("_admit", "_admitted", "_base", "_book", "_changes", "_is_live", "_preview", "_record", "_reserved"),
        *("_until", "_visitor"),
    )

    def __init__(
        self,
        preview: LivePreview,
        visitor: Visitor,
        place: Place,
        admit: Callable[[], Admitted],
        book: AccessBook,
        is_live: Callable[[], bool],
    ) -> None:
        self._preview = preview
        self._visitor = visitor
        self._admit = admit
        self._book = book
        self._is_live = is_live
        prefix = place.prefix.encode()
        self._base, self._reserved = prefix + b"/", prefix + RESERVED
        self._until = visitor.until
        # Nothing has been looked at yet. Invariant: a record is replaced with each change, and never the same again; a
        # preview has its outcome before it is not found any more.
        self._record: object = None
        self._changes = -1
        self._admitted: Admitted | None = None

    def __call__(self, target: bytes) -> Admitted | None:
        """The admission for this target; None where the doorman has to be asked."""
        if not target.startswith(self._base) or target.startswith(self._reserved):
            return None
        preview, book = self._preview, self._book
        if (
            preview.record is self._record
            and book.changes == self._changes
            and book.now() < self._until
            and not preview.is_replaced
            and preview.outcome is None
        ):
            return self._admitted
        return self._look()

    def _look(self) -> Admitted | None:
        preview, book, statement = self._preview, self._book, self._visitor.statement
        self._record = None
        if preview.address is None or preview.outcome is not None or preview.is_replaced or not self._is_live():
            return None
        if book.now() >= self._until:
            return None
        if not (may_look(self._visitor, preview, book) if statement is None else book.holds(statement)):
            return None
        self._record, self._changes, admitted = preview.record, book.changes, self._admit()
        # Who carries it tells by that whether anything is new.
        if admitted != self._admitted:
            self._admitted = admitted
        return self._admitted
