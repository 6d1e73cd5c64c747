"""A preview that answers the proxy badly: a clear error or a bounded answer each time, and the next request is well."""

from __future__ import annotations

import pytest
import trio
from engine_kit import IN_TIME_S
from hostile_kit import MIB, Rig, request

from preview.core.lifecycle import State
from preview.errors import PreviewError
from preview.proxy import make_request, open_preview_client
from preview.supervisor import LivePreview

pytestmark = pytest.mark.parametrize("rung", ["sandbox"], indirect=True)

_LIMIT_BYTES = 2 * MIB
_ERRORS = ["nothing", "garbage", "half", "two-lengths", "bad-chunks", "long-head", "switch", "endless"]
_BOUNDED = ["folded-header", "length-and-chunks", "two-answers", "bomb", "many-informations"]


async def asked(rig: Rig, preview: LivePreview, *names: str) -> list[str]:
    """What the proxy makes of each answer: the error's code, or the status and how many bytes came."""
    settings = rig.service.settings.model_copy(update={"proxy_timeout_s": 5, "proxy_response_bytes": _LIMIT_BYTES})
    assert preview.address is not None
    told = []
    async with open_preview_client(settings) as client:
        for name in names:
            message = make_request("GET", f"/{name}", query={}, headers=(), body=None, body_limit_bytes=1024)
            try:
                with trio.fail_after(IN_TIME_S):
                    answer = await client.send(preview.address, message)
            except PreviewError as error:
                told.append(error.code)
            else:
                told.append(f"{answer.status} {len(answer.body)}")
    return told


async def test_no_bad_answer_harms_the_service_the_next_request_or_a_neighbour(hostile: Rig) -> None:
    neighbour = await hostile.running("neighbour", "hostile_app")
    preview = await hostile.running("g1", "answer_badly")
    names = [*_ERRORS, *_BOUNDED]
    told = await asked(hostile, preview, *(part for name in names for part in (name, "well")))
    results = dict(zip(names, told[::2], strict=True))
    assert set(told[1::2]) == {"200 2"}

    assert {name: text for name, text in results.items() if name in _ERRORS and text[0].isdigit()} == {}
    assert all(int(text.split()[1]) <= _LIMIT_BYTES for text in results.values() if text[0].isdigit())
    assert results["two-answers"] == "200 2"
    assert preview.record.state is neighbour.record.state is State.RUNNING
    assert await request(neighbour) is not None
