"""Response fields that a front proxy or a browser would apply beyond the answer: which come back."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.proxy.admission import Admitted, RequestHead
from preview.proxy.carriage import (
    FRONT_PROXY_FIELDS,
    FRONT_PROXY_PREFIXES,
    ORIGIN_FIELDS,
    answer_fields,
    trailer_fields,
)

OBEYED = [*sorted(FRONT_PROXY_FIELDS), *(prefix + b"x" for prefix in FRONT_PROXY_PREFIXES)]
HOST = "preview_x.localhost"
HEAD = RequestHead("GET", b"/", [(b"host", HOST.encode())], HOST, "http", "198.51.100.1", "198.51.100.1")
OWN_ORIGIN = Admitted("preview_x", ("127.0.0.1", 3001), 1, 0, "", nullcontext)
SHARED_ORIGIN = OWN_ORIGIN._replace(prefix="/p/preview_x")


def returned(name: bytes, value: bytes = b"1", admitted: Admitted = OWN_ORIGIN) -> list[tuple[bytes, bytes]]:
    return [field for field in answer_fields([(name, value)], HEAD, admitted, b"n1") if field[0] != b"x-request-id"]


@pytest.mark.parametrize("admitted", [OWN_ORIGIN, SHARED_ORIGIN], ids=["own_origin", "path_form"])
@pytest.mark.parametrize("name", OBEYED)
def test_a_field_that_a_front_proxy_obeys_does_not_come_back(name: bytes, admitted: Admitted) -> None:
    assert returned(name, admitted=admitted) == []
    assert returned(name.replace(b"-", b"_"), admitted=admitted) == []
    assert trailer_fields([(name, b"1"), (b"x-sum", b"7")]) == [(b"x-sum", b"7")]


@pytest.mark.parametrize("name", sorted(ORIGIN_FIELDS))
def test_a_field_that_a_browser_applies_to_the_origin_comes_back_from_a_preview_with_its_own_origin_alone(
    name: bytes,
) -> None:
    assert returned(name, admitted=SHARED_ORIGIN) == []
    assert returned(name, admitted=OWN_ORIGIN) == [(name, b"1")]


def test_the_documentation_names_each_of_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "relay.md").read_text("utf-8")
    section = page.partition("## Fields that never come back")[2].partition("\n## ")[0]
    named = {name.lower() for name in re.findall(r"`([\w*-]+)[`:]", section)}
    prefixes = {name.removesuffix("*") for name in named if name.endswith("*")}
    for name in (*FRONT_PROXY_FIELDS, *FRONT_PROXY_PREFIXES, *ORIGIN_FIELDS):
        assert name.decode() in named | prefixes or name.decode().startswith(tuple(prefixes)), name


@pytest.mark.parametrize("value", [b"no", b"No"])
def test_a_stream_may_ask_not_to_be_buffered(value: bytes) -> None:
    assert returned(b"x-accel-buffering", value) == [(b"x-accel-buffering", value)]


@pytest.mark.parametrize("value", [b"yes", b"", b"no, yes"])
def test_an_answer_may_ask_a_front_proxy_for_nothing_else_about_buffering(value: bytes) -> None:
    assert returned(b"x-accel-buffering", value) == []
    assert returned(b"x_accel_buffering", b"no") == []


@given(st.sampled_from(FRONT_PROXY_PREFIXES), st.binary(max_size=200))
def test_nothing_behind_a_prefix_lets_a_field_pass(prefix: bytes, rest: bytes) -> None:
    name = (prefix + rest).lower()
    assert name == b"x-accel-buffering" or returned(name) == []
