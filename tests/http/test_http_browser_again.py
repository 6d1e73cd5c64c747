"""Access that changes between two requests of one connection: the very next one is asked for by what holds then."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from browser_kit import Door, open_door

from preview.auth import Identity
from preview.http.browser.access_gate import CachedAuthorization
from preview.http.browser.addresses import PreviewTarget
from preview.http.browser.visitors import Visitor
from preview.proxy.admission import Admitted, Reauthorize
from preview.supervisor import LivePreview

_LAST = b"0\r\n\r\n"


async def _status(stream: trio.SocketStream, head: bytes) -> int:
    """Ask with exactly these bytes; the status of the answer, which is read whole."""
    await stream.send_all(head)
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += await stream.receive_some()
    fields, _, body = raw.partition(b"\r\n\r\n")
    sizes = [int(line.split(b":")[1]) for line in fields.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < sizes[0] if sizes else not body.endswith(_LAST):
        body += await stream.receive_some()
    return int(fields.split(b" ")[1])


def _get(door: Door, cookie: str, target: str = "/") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {door.host}\r\nCookie: {cookie}\r\n\r\n".encode()


async def _revoke_share(door: Door) -> None:
    (share,) = door.edge.app.backend.access.shares(door.preview.id)
    assert door.edge.app.backend.access.revoke_share(door.preview.id, share.id)
    await trio.lowlevel.checkpoint()


async def _revoke_all(door: Door) -> None:
    door.edge.app.backend.access.revoke_all(door.preview.id)
    await trio.lowlevel.checkpoint()


async def _expire(door: Door) -> None:
    book = door.edge.app.backend.access
    now = book._clock
    book._clock = lambda: now() + 10_000_000
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("change", "is_shared"),
    [(_revoke_all, False), (_revoke_all, True), (_revoke_share, True), (_expire, False), (_expire, True)],
)
async def test_access_that_is_taken_back_or_expires_is_gone_for_the_very_next_request(
    tmp_path: Path, change: Callable[[Door], Awaitable[None]], is_shared: bool
) -> None:
    async with open_door(tmp_path) as door:
        asked = _Again(door)
        cookie, stream = await door.cookie(share=is_shared), await door.connect()
        assert [await _status(stream, _get(door, cookie, f"/{at}")) for at in range(3)] == [200, 200, 200]
        assert asked.admitted == 2
        await change(door)
        assert await _status(stream, _get(door, cookie)) == 401
        assert (asked.admitted, asked.refused) == (2, 1)


async def test_a_preview_that_is_public_no_more_is_so_for_the_very_next_request(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        asked, stream, book = _Again(door), await door.connect(), door.edge.app.backend.access
        book.set_public(door.preview.id, public=True)
        assert [await _status(stream, _get(door, "a=b")) for _ in range(2)] == [200, 200]
        assert asked.admitted == 1
        book.set_public(door.preview.id, public=False)
        assert await _status(stream, _get(door, "a=b")) == 401
        book.set_public(door.preview.id, public=True)
        assert await _status(stream, _get(door, "a=b")) == 200


async def test_a_preview_that_has_ended_is_not_asked_again(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        cookie, stream = await door.cookie(), await door.connect()
        assert [await _status(stream, _get(door, cookie)) for _ in range(2)] == [200, 200]
        door.end()
        assert await _status(stream, _get(door, cookie)) != 200


async def test_the_next_process_gets_the_next_request(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        asked, cookie, stream = _Again(door), await door.cookie(), await door.connect()
        assert [await _status(stream, _get(door, cookie)) for _ in range(2)] == [200, 200]
        door.preview.record = replace(door.preview.record, pid=2)
        assert await _status(stream, _get(door, cookie)) == 200
        # Nothing idle is there for it: a new connection has to be waited for.
        assert asked.admitted == 2
        door.preview.is_replaced = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_status, stream, _get(door, cookie))
            while not asked.refused:
                await trio.testing.wait_all_tasks_blocked(0.001)
            door.preview.is_replaced = False


async def test_the_service_s_own_addresses_and_other_previews_are_not_let_in_again(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        asked, cookie, stream = _Again(door), await door.cookie(), await door.connect()
        assert await _status(stream, _get(door, cookie)) == 200
        assert await _status(stream, _get(door, cookie, "/.preview/none")) == 404
        assert asked.refused == 1
        other = _get(door, cookie).replace(door.preview.id.encode()[-6:], b"234567")
        assert await _status(stream, other) in {401, 404}


async def test_what_a_request_asked_for_is_not_kept_with_its_admission(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        asked, cookie, stream = _Again(door), await door.cookie(), await door.connect()
        assert await _status(stream, _get(door, cookie, "/?code=secret")) == 200
        (standing,) = asked.standing
        reached: list[object] = [standing]
        for one in reached:
            # What the door itself has (clients, settings, the preview) is not gone into.
            if isinstance(one, tuple | partial | CachedAuthorization):
                reached += gc.get_referents(one)
        assert door.preview in reached
        assert all(b"secret" not in one for one in reached if isinstance(one, bytes))


async def test_an_admission_stands_for_as_long_as_nothing_has_changed(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        asked, cookie, stream = _Again(door), await door.cookie(), await door.connect()
        assert [await _status(stream, _get(door, cookie, f"/{at}")) for at in range(2)] == [200, 200]
        (standing,) = asked.standing
        first = standing(b"/1")
        assert first is not None
        assert standing(b"/2?a=b") is first
        # Said of every probe, and of each renewal of a token.
        door.preview.record = replace(door.preview.record, last_health_check=None)
        assert standing(b"/3") is first
        door.preview.record = replace(door.preview.record, pid=2)
        assert standing(b"/3") == first._replace(process=2)
        assert standing(b"*") is None


async def test_in_the_path_form_an_admission_is_for_its_own_preview_alone(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        asked, stream, prefix = _Again(door), await door.connect(), door.prefix
        door.edge.app.backend.access.set_public(door.preview.id, public=True)
        head = f"GET {prefix}/a HTTP/1.1\r\nHost: localhost:{door.port}\r\n\r\n".encode()
        assert [await _status(stream, head) for _ in range(2)] == [200, 200]
        (standing,) = asked.standing
        found = standing(f"{prefix}/b?c".encode())
        assert found is not None
        assert found.target_of(f"{prefix}/b?c".encode()) == b"/b?c"
        for other in (prefix, f"{prefix}x/", f"{prefix}/.preview/state", "/p/preview_other/", "/", "/api/v1/health"):
            assert standing(other.encode()) is None


async def test_a_bearer_token_of_the_service_s_own_is_verified_once_while_it_is_valid(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        asked, verified, stream = _Again(door), _count_authentications(door), await door.connect()
        head = _with_token(door, door.bearer()["Authorization"])
        assert [await _status(stream, head) for _ in range(3)] == [200, 200, 200]
        assert (asked.admitted, len(verified)) == (2, 1)
        # Another user's does not pass because ann's did, nor does hers for having been refused once.
        assert await _status(stream, _with_token(door, door.bearer("bob")["Authorization"])) == 404
        assert await _status(stream, head) == 200
        await _revoke_all(door)
        assert await _status(stream, head) == 200
        assert len(verified) == 2


async def test_a_bearer_token_that_has_expired_is_verified_again(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        asked, verified, stream = _Again(door), _count_authentications(door), await door.connect()
        head = _with_token(door, door.bearer()["Authorization"])
        assert [await _status(stream, head) for _ in range(2)] == [200, 200]
        await _expire(door)
        # The book's clock is ahead of the one that tokens are judged by, to which this one is good still.
        assert [await _status(stream, head) for _ in range(2)] == [200, 200]
        assert (asked.admitted, asked.refused, len(verified)) == (1, 2, 3)


async def test_a_bearer_token_beside_a_cookie_holds_no_longer_than_either(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        asked, stream, cookie = _Again(door), await door.connect(), await door.cookie()
        head = _with_token(door, f"{door.bearer()['Authorization']}\r\nCookie: {cookie}")
        assert [await _status(stream, head) for _ in range(2)] == [200, 200]
        await _revoke_all(door)
        assert await _status(stream, head) == 200
        assert (asked.admitted, asked.refused) == (1, 1)


async def test_a_bearer_token_that_others_judge_is_asked_about_each_time(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        # As with a host's own ``authenticate``, and with keys that others publish: either may take a token back.
        door.edge.app._backend = replace(door.edge.app.backend, secret=None)
        asked, verified, stream = _Again(door), _count_authentications(door), await door.connect()
        head = _with_token(door, door.bearer()["Authorization"])
        assert [await _status(stream, head) for _ in range(3)] == [200, 200, 200]
        assert (asked.admitted, asked.refused, len(verified)) == (0, 0, 3)


async def test_a_bearer_token_that_is_none_of_the_service_s_is_asked_about_each_time(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        door.edge.app.backend.access.set_public(door.preview.id, public=True)
        asked, verified, stream = _Again(door), _count_authentications(door), await door.connect()
        assert [await _status(stream, _with_token(door, "Bearer x.y.z")) for _ in range(2)] == [200, 200]
        assert (asked.admitted, asked.refused, len(verified)) == (0, 0, 2)


def _with_token(door: Door, token: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {door.host}\r\nAuthorization: {token}\r\n\r\n".encode()


def _count_authentications(door: Door) -> list[Mapping[str, Any]]:
    """From now on a list of the requests whose sender is asked about."""
    made = door.edge.app.backend
    asked: list[Mapping[str, Any]] = []

    async def authenticate(scope: Mapping[str, Any]) -> Identity | None:
        asked.append(scope)
        return await made.authenticate(scope)

    door.edge.app._backend = replace(made, authenticate=authenticate)
    return asked


class _Again:
    """Counts what the access_gate says to requests like one before."""

    def __init__(self, door: Door) -> None:
        access_gate = door.edge.app.access_gate
        self.admitted = self.refused = 0
        self.standing: list[Reauthorize] = []
        inner = access_gate._again

        def new(preview: LivePreview, visitor: Visitor, place: PreviewTarget) -> Reauthorize:
            standing = inner(preview, visitor, place)
            self.standing.append(standing)

            def again(target: bytes) -> Admitted | None:
                found = standing(target)
                self.admitted += found is not None
                self.refused += found is None
                return found

            return again

        access_gate._again = new  # type: ignore[method-assign]
