from __future__ import annotations

from typing import Any

import pytest
import trio
from quart_trio import QuartTrio
from werkzeug.exceptions import RequestTimeout, UnsupportedMediaType

from preview.errors import InvalidRequest, TooLarge
from preview.http.core.bodies import EnvelopeBody, ExtendBody, ListQuery, StreamQuery, V1LaunchBody
from preview.http.core.reading import checked_query, preferred_wait_s, read_json


@pytest.fixture
def app() -> QuartTrio:
    return QuartTrio("test", static_folder=None)


async def read(app: QuartTrio, model: type[Any], raw: bytes | str, kind: str = "application/json") -> Any:
    async with app.test_request_context("/", method="POST", data=raw, headers={"Content-Type": kind}) as context:
        return await read_json(context.request, model, limit_bytes=1000)


async def test_a_body_becomes_a_model(app: QuartTrio) -> None:
    assert (await read(app, V1LaunchBody, '{"project_id": "p", "timeout": 30, "unknown": 1}')).timeout == 30


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/merge+json"])
async def test_no_body_is_an_empty_object(app: QuartTrio, kind: str) -> None:
    assert await read(app, V1LaunchBody, b"", kind) == V1LaunchBody()


@pytest.mark.parametrize(
    ("model", "raw", "sentence"),
    [
        (
            V1LaunchBody,
            '{"timeout": "30"}',
            "The body has a wrong value for 'timeout': Input should be a valid number.",
        ),
        (V1LaunchBody, '{"timeout": 0}', "The body has a wrong value for 'timeout': Input should be greater than 0."),
        (ExtendBody, "{}", "The body has a wrong value for 'seconds': Field required."),
        (EnvelopeBody, '{"method": 1, "path": 2}', "(1 more)."),
        (ExtendBody, "[]", "The body cannot be used: "),
        (ExtendBody, "{", "The body cannot be used: Invalid JSON"),
        (ExtendBody, b"\xff", "The body cannot be used: Invalid JSON"),
    ],
)
async def test_a_wrong_body_is_one_clear_sentence(
    app: QuartTrio, model: type[Any], raw: bytes | str, sentence: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await read(app, model, raw)
    assert sentence in caught.value.message
    assert caught.value.details["fields"]


async def test_another_media_type_is_refused(app: QuartTrio) -> None:
    with pytest.raises(UnsupportedMediaType):
        await read(app, V1LaunchBody, b"a=1", "application/x-www-form-urlencoded")


async def test_a_body_over_the_limit_is_refused_by_what_it_says(app: QuartTrio) -> None:
    with pytest.raises(TooLarge) as caught:
        await read(app, V1LaunchBody, b" " * 1001)
    assert caught.value.details == {"limit_bytes": 1000}


async def test_a_body_over_the_limit_is_refused_by_what_it_is(app: QuartTrio) -> None:
    async with app.test_request_context("/", method="POST") as context:
        context.request.body.append(b" " * 1001)
        with pytest.raises(TooLarge):
            await read_json(context.request, V1LaunchBody, limit_bytes=1000)


async def test_a_body_that_does_not_arrive_is_a_timeout(app: QuartTrio) -> None:
    app.config["MAX_CONTENT_LENGTH"] = None
    async with app.test_request_context("/", method="POST") as context:
        request = context.request
        request.body_timeout = 0.05  # type: ignore[assignment]  # Quart says int and takes any number
        request.body = request.body_class(None, None)
        with trio.fail_after(60), pytest.raises(RequestTimeout):
            await read_json(request, V1LaunchBody, limit_bytes=1000)


async def test_a_query_becomes_a_model(app: QuartTrio) -> None:
    async with app.test_request_context("/?tail=5&follow=false&ticket=t&other=1") as context:
        query = checked_query(context.request, StreamQuery)
    assert (query.tail, query.follow, query.ticket, query.last_event_id) == (5, False, "t", None)


@pytest.mark.parametrize("raw", ["limit=0", "limit=x", "limit=201", "status=odd", "cursor=" + "x" * 600])
async def test_a_wrong_query_is_one_clear_sentence(app: QuartTrio, raw: str) -> None:
    async with app.test_request_context(f"/?{raw}") as context:
        with pytest.raises(InvalidRequest, match="The query has a wrong value for"):
            checked_query(context.request, ListQuery)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ('Wait = "7"; x=y', 7),
        ("wait=10,return=minimal", 10),
        ("", None),
        ("wait", None),
        ("wait=soon", None),
        ("wait=-1", None),
        ("nowait=5", None),
        ("wait=99999999", None),
    ],
)
def test_prefer_wait_is_read_and_anything_else_ignored(prefer: str, seconds: int | None) -> None:
    assert preferred_wait_s(prefer) == seconds
