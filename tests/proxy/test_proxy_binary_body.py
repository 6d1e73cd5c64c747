"""Calls with a body of bytes."""

from __future__ import annotations

import pytest

from preview.errors import BodyTooLarge, InvalidRequest
from preview.proxy import bytes_of, make_request


@pytest.mark.parametrize("body", ["no base64!", "abc", {"a": 1}, ["YQ=="], 7, True])
def test_a_body_that_is_no_base64_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest):
        bytes_of(body)


def test_bytes_are_sent_as_they_are() -> None:
    request = make_request("POST", "/", body=bytes_of("AP8="), body_limit_bytes=2)
    assert request.body == b"\x00\xff"
    assert ("Content-Type", "application/octet-stream") in request.headers
    assert bytes_of(None) is None


def test_decoded_bytes_count_for_the_limit() -> None:
    with pytest.raises(BodyTooLarge):
        make_request("POST", "/", body=bytes_of("AP8="), body_limit_bytes=1)
