"""Escape sequences are taken out of text, whatever it holds."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.core.escapes import has_escapes, without_colours, without_escapes

CONTROLS = re.compile(r"[\x1b\x80-\x9f]")
# What sequences are made of, more often than text is.
PARTS = st.sampled_from(["\x1b", "\x1b[", "\x1b]", "\x1b\\", "\x07", *"[]PX^_m0;:?! (Bc", *map(chr, range(0x80, 0xA1))])
TEXTS = st.lists(PARTS | st.text(max_size=3), max_size=30).map("".join)
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=["\x1b", *map(chr, range(0x80, 0xA0))]))


@given(TEXTS)
def test_neither_esc_nor_a_c1_control_is_left(text: str) -> None:
    rest = without_escapes(text)
    assert CONTROLS.search(rest) is None
    assert not has_escapes(rest)
    assert without_escapes(rest) == rest
    # Nothing is put in, and the order stays.
    left = iter(text)
    assert all(character in left for character in rest)


@given(PLAIN)
def test_text_without_escapes_stays_as_it_is(text: str) -> None:
    assert without_escapes(text) is text
    assert not has_escapes(text)


@given(PLAIN, PLAIN)
def test_what_stands_around_a_colour_stays(before: str, behind: str) -> None:
    assert without_escapes(f"{before}\x1b[1;38:5:208m{behind}\x1b[0m") == before + behind


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b[32mINFO\x1b[0m:     ready", "INFO:     ready"),
        ("\x1b[mx", "x"),
        ("a\x1b[2K\x1b[1;1Hb", "ab"),
        ("a\x1b[?25lb\x1b[!pc\x1b[0 qd", "abcd"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://localhost\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\x\x1bXsos\x1b\\y\x1b^pm\x1b\\z\x1b_apc\x1b\\", "xyz"),
        ("\x1b(B\x1b7\x1bM\x1bcx", "x"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x9d0;title\x9cx\x9d0;title\x07y\x90dcs\x9cz\x9fapc\x1b\\", "xyz"),
        ("a\x85b\x84c", "abc"),
        # Never finished: only the head goes.
        ("\x1b]0;title", "0;title"),
        ("\x1b[38;5", "38;5"),
        ("end\x1b", "end"),
        # A line's end ends a string sequence that was never finished.
        ("\x1b]0;ti\ntle\x07", "0;ti\ntle\x07"),
        # Another sequence within one that was never finished.
        ("\x1b]0;a\x1b[31mb\x1b[0m", "0;ab"),
        ("\x1b\x1b[31mx", "x"),
        ("tab\tand é \u2028", "tab\tand é \u2028"),
    ],
)
def test_sequences_of_every_kind_are_taken_out(text: str, plain: str) -> None:
    assert without_escapes(text) == plain


def test_colours_are_taken_out_alone() -> None:
    assert without_colours("\x1b[32mINFO\x1b[0m\x1b[2K") == "INFO\x1b[2K"


@pytest.mark.parametrize(
    "piece",
    ["\x1b[0m", "\x1b[", "\x1b]", "\x9b1", "\x1b]x", "\x9dx", "\x1bP\x1b", "\x1b[1;", "\x1b ", "1", " ", "\x1b[!"],
)
@pytest.mark.parametrize("head", ["", "\x1b[", "\x1b]", "\x9b", "\x1bP", "\x1b"])
def test_the_time_is_linear_in_the_length(head: str, piece: str) -> None:
    def best(pieces: int) -> float:
        text, times = head + piece * pieces, []
        for _ in range(3):
            began = time.thread_time()
            without_escapes(text)
            times.append(time.thread_time() - began)
        return min(times)

    # Sixteen times the text: quadratic would be 256 times the time.
    assert best(160_000) < 64 * best(10_000) + 0.01
