"""Passes requests on to the node that owns the preview: browsers' requests, and the API's about one generation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import trio

from preview.auth import Identity
from preview.cluster import ANYTHING, LOST, Cluster, NodeKey, NodeLink, Owner, Router, Subject
from preview.core.ids import is_valid_id
from preview.errors import (
    DatabaseUnavailable,
    Forbidden,
    NoActivePreview,
    PreviewError,
    PreviewUnavailable,
    TooManyStreams,
)
from preview.http.backend import Backend
from preview.http.browser.access_gate import PreviewAccessGate
from preview.http.browser.redirects import redirected
from preview.http.streams.shared_logs import SharedLogs
from preview.proxy.admission import Admitted, OwnAnswer, RequestHead
from preview.proxy.passing_on import MISDIRECTED, NOT_OWNER_FIELD, is_log_stream
from preview.runtime import InnerAddress
from preview.settings import Settings

# Routes of a generation, and of a preview by its id. All of them go to the owner, whether they need the process or not:
# so the owner alone decides about launches, edits and stops of a generation, those of an operator too.
_API = re.compile(rb"/api/(?:v1/)?(generations|previews|operator/previews)/([A-Za-z0-9_-]{1,128})(?=[/?]|$)")
# The log stream of a queued preview waits for its node so long; then the response is 503.
_QUEUED_S = 25.0
_LOOK_S = 0.25
_MOST_WAITING = 500
_NOT_OWNER = OwnAnswer(MISDIRECTED, [(NOT_OWNER_FIELD, b"1"), (b"retry-after", b"1")], b"")


@contextmanager
def open_routing(
    cluster: Cluster | None, settings: Settings, gate: PreviewAccessGate, backend: Callable[[], Backend]
) -> Iterator[ClusterRouter | None]:
    """Provide the router of a node, which notices of the database keep current; None outside a cluster.

    Args:
        cluster: The cluster of this node.
        settings: The node's address, and the cluster's secret.
        gate: See ``ClusterRouter``.
        backend: See ``ClusterRouter``.
    """
    if cluster is None or settings.cluster_secret is None or settings.node_address is None:
        yield None
        return
    router = Router(cluster.name, cluster, holds=lambda: cluster.lease.holds)
    key, redirects = NodeKey(settings.cluster_secret.get_secret_value()), settings.sticky == "redirect"
    nodes = ClusterRouter(router, key, gate, backend, settings.node_address, redirects=redirects)
    with cluster.notices.subscribed(nodes.take_notice):
        yield nodes


class ClusterRouter:
    """The implementation of ``preview.proxy.admission.NodeRouter``.

    Args:
        router: Finds owners.
        key: Proves this node to others.
        gate: Knows the addresses of previews, and writes errors. It drops the cached owner of a request that failed.
        backend: Returns this node's backend; raises ``ServiceStopping`` if the service is not running.
        address: ``HOST:PORT`` of this node's internal listener.
        redirects: Send clients of the API to the owner, if it has a public address.
    """

    def __init__(
        self,
        router: Router,
        key: NodeKey,
        gate: PreviewAccessGate,
        backend: Callable[[], Backend],
        address: str,
        *,
        redirects: bool = False,
    ) -> None:
        self.router = router
        self._redirects = redirects
        self.key = key
        self.address = address
        # Log streams that this node serves from one stream of the owner; None: each is passed on.
        self.shared_logs: SharedLogs | None = None
        self._gate = gate
        gate.router = self
        self._backend = backend
        # Log streams of queued previews.
        self._waiting = 0
        # An address is one object, so equal connections are shared.
        self._addresses: dict[str, tuple[Owner, InnerAddress]] = {}
        # Called when the node that a request was passed on to is lost; by preview.
        self._passed: dict[str, dict[Callable[[], object], None]] = {}

    def take_notice(self, payload: str) -> None:
        """Take a notice of the database."""
        kind, _, name = payload.partition(":")
        if kind == "preview":
            self.router.forget_preview(name)
        elif kind == LOST:
            for moved in list(self._passed.get(name, ())):
                moved()
        elif payload == ANYTHING:
            self.router.forget_all()

    @property
    def node(self) -> str:
        """Name of this node."""
        return self.router.node

    async def route(self, head: RequestHead) -> Admitted | OwnAnswer | None:
        """See ``NodeRouter``. Cancellation: no state changes."""
        subject = self.subject_of(head.host, head.target)
        if subject is None or self.is_here(subject):
            return None
        try:
            if not head.is_from_node:
                self._gate.check_host_of(head)
            owner = await self.router.find(subject)
            if owner is None and is_log_stream(head.target) and not head.is_from_node:
                owner = await self._owner_of_queued(head, subject)
            if owner is None:
                return None
            if head.is_from_node:
                return _NOT_OWNER
            elsewhere = redirected(head, owner) if self._redirects else None
            if elsewhere is not None and await self._is_of_user(head):
                return elsewhere
            if is_log_stream(head.target) and await self._is_shared(head, subject, owner):
                return None
            return self._admitted(owner, subject, head.host)
        except Exception as error:  # noqa: BLE001  unexpected errors are logged, and shown by an id only
            return self._gate.refuse(head, error)

    async def _is_shared(self, head: RequestHead, subject: Subject, owner: Owner) -> bool:
        """Return whether this node serves the log's stream. Cancellation: no state changes."""
        shared, live_id = self.shared_logs, self.router.preview_of(subject)
        if shared is None or not await self._is_of_user(head):
            return False
        return await shared.can_share(head.method, head.target, self._address(owner), live_id)

    async def _is_of_user(self, head: RequestHead) -> bool:
        """Return whether a user proves to have sent the request. Cancellation: no state changes.

        The owner alone knows the guests of its previews, and refuses all others.
        """
        try:
            return await _identity(self._backend(), head) is not None
        except PreviewError:
            return False

    async def locate(self, preview_id: str, *, fresh: bool) -> InnerAddress | None:
        """See ``preview.http.streams.shared_logs.Locator``. Cancellation: no state changes."""
        subject = Subject(preview_id, is_generation=False)
        if self.is_here(subject):
            return self._address(Owner(self.node, self.address, 0))
        if fresh:
            self.router.forget(subject)
        owner = await self.router.find(subject)
        return None if owner is None else self._address(owner)

    async def _owner_of_queued(self, head: RequestHead, subject: Subject) -> Owner | None:
        """Wait until a node has taken the queued preview; None if this one did, or after some seconds.

        Only the generation's user waits, and each wait counts as one of the user's streams. Others get None, and their
        answer from this node.

        Cancellation: no state changes.
        """
        if self._waiting >= _MOST_WAITING or not self.router.is_queued(subject):
            return None
        try:
            slot = await _stream_slot(self._backend(), head, subject.id)
        except PreviewError:
            return None
        self._waiting += 1
        try:
            with slot, trio.move_on_after(_QUEUED_S):
                while self.router.is_queued(subject):
                    await trio.sleep(_LOOK_S)
                    if self.is_here(subject):
                        break
                    if (owner := await self.router.find(subject)) is not None:
                        return owner
        except TooManyStreams:
            return None
        finally:
            self._waiting -= 1
        return None

    async def owner(self, head: RequestHead) -> Admitted | None:
        """See ``NodeRouter``. Cancellation: no state changes."""
        subject = self.subject_of(head.host, head.target)
        if subject is None:
            return None
        if self.is_here(subject):
            return self._admitted(Owner(self.node, self.address, 0), subject, head.host)
        try:
            owner = await self.router.find(subject)
        except DatabaseUnavailable:
            return None
        if owner is None and self.router.is_over(subject):
            raise NoActivePreview("The preview has ended.")
        return None if owner is None else self._admitted(owner, subject, head.host)

    def forget(self, head: RequestHead) -> None:
        """See ``NodeRouter``."""
        subject = self.subject_of(head.host, head.target)
        if subject is not None:
            self.router.forget(subject)

    def subject_of(self, host: str, target: bytes) -> Subject | None:
        """Return what a request names; None if it is for no preview or generation."""
        place = self._gate.places.find(host, target)
        if place is not None:
            return None if place.preview_id is None else Subject(place.preview_id, is_generation=False)
        found = _API.match(target)
        if found is None:
            return None
        named = found[2].decode()
        return Subject(named, found[1] == b"generations") if is_valid_id(named) else None

    def is_here(self, subject: Subject) -> bool:
        """Return whether this node has the preview."""
        previews = self._backend().previews
        live = previews.active(subject.id) if subject.is_generation else previews.find(subject.id)
        return live is not None

    def _admitted(self, owner: Owner, subject: Subject, host: str) -> Admitted:
        again = _Again(self, owner, subject, host)
        watch = partial(self._watch, (self.router.preview_of(subject) if subject.is_generation else None) or subject.id)
        admitted = again.admitted = Admitted(
            f"node {owner.node}",
            self._address(owner),
            0,
            0,
            "",
            nullcontext,
            again=again,
            is_node=True,
            until_lost=watch,
        )
        return admitted

    def _watch(self, preview_id: str, moved: Callable[[], object]) -> Callable[[], None]:
        """Call ``moved`` when the preview has another node because its own is lost; return what ends that."""
        waiting = self._passed.setdefault(preview_id, {})
        waiting[moved] = None

        def end() -> None:
            waiting.pop(moved, None)
            if not waiting and self._passed.get(preview_id) is waiting:
                del self._passed[preview_id]

        return end

    def _address(self, owner: Owner) -> InnerAddress:
        kept = self._addresses.get(owner.node)
        if kept is not None and kept[0].address == owner.address:
            return kept[1]
        host, _, port = owner.address.rpartition(":")
        if not port.isdigit():
            raise PreviewUnavailable(f"The node {owner.node!r} has no usable address; try again in a moment.")
        host = host.strip("[]")
        made = InnerAddress(host, int(port), NodeLink(owner.node, (host, int(port)), self.key))
        self._addresses[owner.node] = (owner, made)
        return made


class _Again:
    """Admits further requests that differ only in their target, while the owner is known and the same.

    Attributes:
        admitted: The admission of the first one, which is that of all.
    """

    __slots__ = ("_host", "_is_named_by_host", "_nodes", "_owner", "_subject", "admitted")

    def __init__(self, nodes: ClusterRouter, owner: Owner, subject: Subject, host: str) -> None:
        self.admitted: Admitted | None = None
        self._nodes = nodes
        self._owner = owner
        self._subject = subject
        self._host = host
        self._is_named_by_host = nodes.subject_of(host, b"/") == subject

    def __call__(self, target: bytes) -> Admitted | None:
        nodes, subject = self._nodes, self._subject
        if nodes.router.known(subject) is not self._owner or is_log_stream(target):
            return None
        if not self._is_named_by_host and nodes.subject_of(self._host, target) != subject:
            return None
        return None if nodes.is_here(subject) else self.admitted


async def _stream_slot(backend: Backend, head: RequestHead, generation_id: str) -> AbstractContextManager[None]:
    """Return one of the caller's log streams, which counts while it is entered.

    Raises:
        PreviewError: The caller proves to be nobody, or not the generation's user.

    Cancellation: no state changes.
    """
    identity = await _identity(backend, head)
    if identity is None or (await backend.service.generations.get(generation_id)).user_id != identity.user.id:
        raise Forbidden("Only the owner of a generation can follow its log.")
    return backend.slots.hold(identity.key)


async def _identity(backend: Backend, head: RequestHead) -> Identity | None:
    """Return the user who proves to have sent the request; None if nobody does, or a guest.

    Raises:
        PreviewError: The proof is not valid.

    Cancellation: no state changes.
    """
    scope = {
        "type": "http",
        "method": head.method,
        "scheme": head.scheme,
        "path": "/",
        "query_string": b"",
        "headers": list(head.fields),
        "client": None if head.client is None else (head.client, 0),
    }
    return await backend.authenticate(scope)
