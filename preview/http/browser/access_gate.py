"""The access check for all previews, and the responses for visitors who are refused or must wait."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NoReturn

import trio

from preview.auth import AccessBook
from preview.core.lifecycle import State
from preview.errors import (
    DatabaseUnavailable,
    Forbidden,
    PreviewError,
    PreviewNotFound,
    PreviewUnavailable,
    Unauthenticated,
    UpstreamFailed,
)
from preview.http.backend import Backend
from preview.http.browser.addresses import RESERVED, PreviewAddresses, PreviewTarget
from preview.http.browser.entry import answer_reserved
from preview.http.browser.pages import error_answer, is_navigation, redirect_answer, waiting_page
from preview.http.browser.refresh import BrowserRefresh, is_refresh
from preview.http.browser.shared_reads import SharedReads
from preview.http.browser.visitors import Visitor, has_bearer, identify, may_look, who_of
from preview.http.core.errors import problem_of
from preview.proxy.admission import Admitted, Fields, NodeRouter, OwnAnswer, Reauthorize, RequestHead
from preview.proxy.page_refresh import refresh_script
from preview.settings import Settings
from preview.storage.tables import PreviewRecord
from preview.supervisor import LivePreview


class CachedAuthorization:
    """A cached admission for further requests of one visitor: see ``preview.proxy.admission.Reauthorize``.

    Every request to a preview calls this. The full check is skipped while the preview, the access book and the expiry
    are unchanged; after a change, a synchronous check follows.

    Args:
        preview: The requested preview.
        visitor: The visitor of the admitted request.
        place: The place of the admitted request.
        admit: Returns a current admission. Raises if the preview does not serve.
        book: Access to all previews.
        is_live: Returns whether the preview's id still belongs to this preview.
    """

    __slots__ = (
        *("_admit", "_admitted", "_base", "_book", "_changes", "_is_live", "_preview", "_record", "_reserved"),
        *("_until", "_visitor"),
    )

    def __init__(
        self,
        preview: LivePreview,
        visitor: Visitor,
        place: PreviewTarget,
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
        # Nothing is checked yet. Invariants: each change replaces the record by a new object; a preview has its outcome
        # before its id is removed.
        self._record: object = None
        self._changes = -1
        self._admitted: Admitted | None = None

    def __call__(self, target: bytes) -> Admitted | None:
        """Return the admission for this target; None if access must be checked again."""
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
        # The same object tells the caller that nothing has changed.
        if admitted != self._admitted:
            self._admitted = admitted
        return self._admitted


_LAST_LINES = 20
_RETRY_AFTER_S = 2
_LOOK_S = 0.02
# A process's end is noticed within milliseconds; its reason is known once its last output was read.
_EXIT_S = 0.1
_REASON_S = 1.0
# In the path form, a preview's documents get an opaque origin without the service page's session, storage and API.
# Pages that they open get one too.
_SANDBOX: Fields = (
    (b"content-security-policy", b"sandbox allow-scripts allow-forms allow-modals allow-popups allow-downloads"),
    (b"x-content-type-options", b"nosniff"),
)


class PreviewAccessGate:
    """The implementation of ``preview.proxy.admission.AccessGate``.

    Args:
        settings: Determine the addresses of previews.
        backend: Returns the service's backend; raises ``ServiceStopping`` if the service is not running.
        check_host: Raises if the service must not be reached by this host.
    """

    def __init__(self, settings: Settings, backend: Callable[[], Backend], check_host: Callable[[str], None]) -> None:
        self.places = PreviewAddresses(settings)
        self._records = SharedReads[PreviewRecord]()
        self._settings = settings
        self._backend = backend
        self._check_host = check_host
        self._refresh = BrowserRefresh()
        # None outside a cluster.
        self.router: NodeRouter | None = None

    def is_for_preview(self, host: str, target: bytes) -> bool:
        """Return whether the request is for a preview, or for an address that only a preview could have."""
        return self.places.find(host, target) is not None

    async def authorize(self, head: RequestHead, mount: str = "") -> Admitted | OwnAnswer:
        """Admit the request, or respond instead of the preview.

        Args:
            head: The request.
            mount: The path at which a host application has mounted this one.

        Cancellation: no state changes.
        """
        place = self._place(head, mount)
        try:
            if place.shares_origin and not head.is_from_node:
                self._check_host(head.host)
            if place.redirect is not None:
                return redirect_answer(308, place.redirect)
            return await self._admit(head, place)
        except Exception as error:  # noqa: BLE001  unexpected errors are logged, and shown by an id only
            return self.refuse(head, error)

    async def explain(self, head: RequestHead, admitted: Admitted, error: PreviewError) -> OwnAnswer:
        """Return the response for an admitted request that the preview has not answered.

        Args:
            head: The request.
            admitted: The request's admission.
            error: The error of the exchange; if the preview has ended, the response gives that reason instead.

        Cancellation: no state changes.
        """
        if admitted.is_node:
            if self.router is not None:
                self.router.forget(head)
            return self.refuse(head, error)
        try:
            backend = self._backend()
            preview = backend.previews.find(admitted.preview_id)
            if preview is not None:
                with trio.move_on_after(_EXIT_S):
                    await preview.over.wait()
                if preview.exit is not None or preview.outcome is not None:
                    with trio.move_on_after(_REASON_S):
                        await preview.over.wait()
            if preview is None or preview.outcome is not None:
                place = self._place(head, _mount_in(admitted))
                return await self._past(head, place, await self._identify(head, place))
        except Exception as other:  # noqa: BLE001  as above
            return self.refuse(head, other)
        return self.refuse(head, error)

    def refuse(self, head: RequestHead, error: Exception) -> OwnAnswer:
        """Return a page or a problem document for any error."""
        soon = isinstance(error, PreviewUnavailable)
        fields = [(b"retry-after", str(_RETRY_AFTER_S).encode())] if soon else []
        return error_answer(problem_of(error), head, fields=fields)

    def check_host_of(self, head: RequestHead) -> None:
        """Check the host of a request for the service's own origin; hosts of previews are theirs alone.

        Raises:
            InvalidRequest, HostNotAllowed: The request is refused.
        """
        place = self.places.find(head.host, head.target)
        if place is None or place.shares_origin:
            self._check_host(head.host)

    def _place(self, head: RequestHead, mount: str) -> PreviewTarget:
        return self.places.find(head.host, head.target, mount) or PreviewTarget(None, head.target)

    async def _identify(self, head: RequestHead, place: PreviewTarget) -> Visitor:
        backend = self._backend()
        return await identify(head, place, backend.access, backend.authenticate)

    async def _admit(self, head: RequestHead, place: PreviewTarget) -> Admitted | OwnAnswer:
        backend = self._backend()
        visitor = await self._identify(head, place)
        preview = None if place.preview_id is None else backend.previews.find(place.preview_id)
        if is_refresh(place.target):
            return await self._refresh.answer(head, place.target, preview, visitor, backend)
        if place.preview_id is not None and place.target.startswith(RESERVED):
            return await answer_reserved(head, place, place.preview_id, preview, visitor, backend)
        if preview is None:
            return await self._past(head, place, visitor)
        if not may_look(visitor, preview, backend.access):
            _turn_away(visitor)
        if preview.address is None and preview.outcome is None:
            if is_navigation(head):
                return waiting_page(f"{place.prefix}{RESERVED.decode()}state", _RETRY_AFTER_S)
            with backend.waits.until(self._settings.browser_wait_s):
                await preview.settled.wait()
        if preview.is_replaced:
            await self._until_replaced(preview)
        if preview.outcome is not None:
            return await self._past(head, place, visitor)
        stands = not has_bearer(head) or self._is_own_token(visitor)
        return self._admitted(preview, place, visitor, self._again(preview, visitor, place) if stands else None)

    def _is_own_token(self, visitor: Visitor) -> bool:
        """Return whether the visitor's bearer token is valid until it expires: this process signed it.

        A host, or the publisher of the keys, may revoke other tokens: those are verified with each request.
        """
        return visitor.user_id is not None and visitor.revocable is None and self._backend().secret is not None

    def _again(self, preview: LivePreview, visitor: Visitor, place: PreviewTarget) -> Reauthorize:
        """Return the check for further requests like the admitted one."""
        previews = self._backend().previews
        # The target may be long and private.
        place = place._replace(target=b"")
        return CachedAuthorization(
            preview,
            visitor,
            place,
            partial(self._admitted, preview, place, visitor, None),
            self._backend().access,
            lambda: previews.find(preview.id) is preview,
        )

    async def _until_replaced(self, preview: LivePreview) -> None:
        """Wait while one process has ended before the next is ready, so that no request meets the gap."""
        with trio.move_on_after(self._settings.browser_wait_s):
            while preview.is_replaced and preview.outcome is None:  # noqa: ASYNC110  rare, and there is no event to wait for
                await trio.sleep(_LOOK_S)

    def _admitted(
        self, preview: LivePreview, place: PreviewTarget, visitor: Visitor, again: Reauthorize | None
    ) -> Admitted:
        address = preview.address
        if address is None:
            raise PreviewUnavailable("The preview is still starting; try again in a moment.")
        return Admitted(
            preview.id,
            address,
            preview.record.pid or 0,
            place.cut,
            place.prefix,
            preview.streaming,
            _SANDBOX if place.shares_origin else (),
            visitor.user_id is not None,
            again,
            preview.traffic,
            who_of(visitor, preview),
            # Pages of the path form have an opaque origin, and could not ask.
            refresh_script(place.prefix) if self._settings.browser_reload and not place.shares_origin else b"",
            None
            if visitor.revocable is None
            else partial(self._backend().people.live_requests.watch, visitor.revocable),
            preview.traces.is_on,
        )

    async def _past(self, head: RequestHead, place: PreviewTarget, visitor: Visitor) -> OwnAnswer:
        """Return the response of an ended preview. Only its owner learns the reason, or that it existed.

        Raises:
            Unauthenticated, Forbidden, PreviewNotFound: As for a preview that never existed.
        """
        if not visitor.is_known or place.preview_id is None:
            _turn_away(visitor)
        try:
            record = await self._records.get(place.preview_id, self._backend().previews.get)
        except PreviewNotFound:
            _turn_away(visitor)
        is_owner = visitor.user_id == record.user_id or (visitor.grant is not None and visitor.grant.is_owner)
        if not is_owner:
            _turn_away(visitor)
        lines = await self._last_lines(record) if record.state is State.FAILED else []
        error: PreviewError
        if record.state is State.FAILED:
            error = UpstreamFailed(
                f"The preview has failed: {_sentence(record.reason)} Launch it again.", last_lines=lines
            )
        elif record.is_active:
            error = PreviewUnavailable(f"The preview is ending: {_sentence(record.reason)}")
        else:
            error = PreviewNotFound(f"The preview has ended: {_sentence(record.reason)} Launch it again.")
        return error_answer(problem_of(error), head, lines=lines)

    async def _last_lines(self, record: PreviewRecord) -> list[str]:
        active = self._backend().previews.find(record.id)
        if active is not None:
            return active.last_lines(_LAST_LINES)
        try:
            stored = await self._backend().service.log_store.tail(record.id, _LAST_LINES)
        except DatabaseUnavailable:
            return []
        return [line.message for line in stored]


def _turn_away(visitor: Visitor) -> NoReturn:
    """Refuse access in the same way for foreign, ended and unknown previews."""
    if visitor.is_led:
        raise Forbidden("Pages of other origins cannot use your access to this preview.", reason="cross_origin")
    if visitor.is_known:
        raise PreviewNotFound("There is no such preview here, or it has ended.")
    raise Unauthenticated(
        "This address is for invited people only. Open the preview from the service's page or with `preview open`, "
        "or ask its owner for a link. The preview may also have ended.",
        reason="missing",
    )


def _mount_in(admitted: Admitted) -> str:
    return admitted.prefix.removesuffix(f"/p/{admitted.preview_id}")


def _sentence(reason: str | None) -> str:
    text = (reason or "for no known reason").removeprefix("stopped: ")
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
