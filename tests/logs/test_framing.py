from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.core.escapes import without_colours
from preview.logs.ingest.framing import CONTINUES, LineFramer
from preview.logs.model.frames import to_text

LIMIT = 1024


def frame(*chunks: bytes, limit: int = LIMIT) -> list[str]:
    framer = LineFramer(limit)
    lines = [line for chunk in chunks for line in framer.feed(chunk)]
    return lines + framer.flush()


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"\r\n\r\na", ["", "", "a"]),
        (b"10%\r20%\r30%\ndone\n", ["10%", "20%", "30%", "done"]),
        (b"\r10%\r20%\r\ndone\n", ["10%", "20%", "done"]),
        (b"\r\ra", ["a"]),
        (b"a\r\r\nb", ["a", "b"]),
        (b"", []),
        (b"\n", [""]),
        (b"caf\xc3\xa9\n", ["café"]),
        (b"\xff\xfe\n", ["\ufffd\ufffd"]),
        (b"\xe2\x82\n", ["\ufffd"]),
        (b"a\tb\n", ["a\tb"]),
    ],
)
def test_lines_end_where_a_reader_sees_an_end(data: bytes, lines: list[str]) -> None:
    assert frame(data) == lines
    assert frame(*[data[index : index + 1] for index in range(len(data))]) == lines


def test_a_line_over_the_limit_is_split_and_marked() -> None:
    assert frame(b"a" * 2500 + b"\nb\n") == ["a" * 1024 + CONTINUES, "a" * 1024 + CONTINUES, "a" * 452, "b"]


def test_a_line_of_just_the_limit_is_whole() -> None:
    assert frame(b"x\n" + b"a" * 1024 + b"\n" + b"b" * 1024) == ["x", "a" * 1024, "b" * 1024]


def test_a_line_is_split_between_characters() -> None:
    first, second = frame(b"a" + "é".encode() * 600)
    assert first == "a" + "é" * 511 + CONTINUES
    assert second == "é" * 89


def test_bytes_that_are_no_characters_are_split_anywhere() -> None:
    first, second = frame(b"\x80" * 1030)
    assert first == "\ufffd" * 1024 + CONTINUES
    assert second == "\ufffd" * 6


def test_what_is_held_back_is_bounded() -> None:
    framer = LineFramer(LIMIT)
    lines = [line for _ in range(64) for line in framer.feed(b"x" * 10_000)]
    assert len(lines) == 640_000 // LIMIT - 1
    assert len(framer._pending) <= LIMIT


def test_a_flushed_prompt_is_not_followed_by_an_empty_line() -> None:
    framer = LineFramer(LIMIT)
    assert framer.feed(b"Name: ") == []
    assert framer.has_pending
    assert framer.flush(final=False) == ["Name: "]
    assert not framer.has_pending
    assert framer.feed(b"\nnext\n") == ["next"]


@pytest.mark.parametrize("character", ["é", "€", "😀"])
def test_a_flush_leaves_half_a_character_for_later(character: str) -> None:
    data = character.encode()
    for cut in range(1, len(data)):
        framer = LineFramer(LIMIT)
        framer.feed(b"ab" + data[:cut])
        assert framer.flush(final=False) == ["ab"]
        assert framer.feed(data[cut:] + b"\n") == [character]


def test_a_flush_gives_whole_characters_and_broken_bytes_at_once() -> None:
    for data in (b"ab", "é".encode(), b"\x80\x80\x80\x80"):
        framer = LineFramer(LIMIT)
        framer.feed(data)
        assert framer.flush(final=False) == [data.decode(errors="replace")]
    framer.feed(b"\xe2")
    assert framer.flush(final=False) == []
    assert framer.flush() == ["\ufffd"]


OUTPUT = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\n", b"\r", b"\r\n", b"\n\n", b"a" * 700, b"a" * 1024, b"a" * 3000, "é€😀".encode(), b"\xff"]
        ),
        st.binary(max_size=8),
    ),
    max_size=12,
).map(b"".join)


@given(OUTPUT, st.data())
def test_the_chunks_borders_do_not_matter(output: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(output)), max_size=8)) | {0, len(output)})
    chunks = [output[start:end] for start, end in pairwise(cuts)]
    assert frame(*chunks) == frame(output)


@given(OUTPUT)
def test_no_text_is_lost_or_made_up(output: bytes) -> None:
    ends = output.replace(b"\r", b"").replace(b"\n", b"")
    printable = bytes(byte for byte in ends if 0x20 <= byte < 0x7F)
    text = "".join(line.removesuffix(CONTINUES) for line in frame(output.replace(b"\x1b", b"")))
    assert "".join(filter(lambda character: " " <= character < "\x7f", text)) == printable.decode()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[38;2;1;2;3mx\x1b[4:3m", "\x1b[38;2;1;2;3mx\x1b[4:3m"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b[?25lhidden", "hidden"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never closed", "0;never closed"),
        ("\x1bPq\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("\x1b(Bx", "x"),
        ("nul\x00bell\x07", "nul\u2400bell\u2407"),
        ("back\x08space\x7f", "back\u2408space\u2421"),
        ("\x9b31m\x85", "\ufffd31m\ufffd"),
        ("\x1b\x1b[2K[31m", "\u241b[31m"),
        ("end\x1b", "end\u241b"),
        ("© é \u2028", "© é \u2028"),
    ],
)
def test_output_cannot_act_on_a_terminal(raw: str, shown: str) -> None:
    assert to_text(raw.encode()) == shown


@given(st.text("\x1b[]0;m1ABJ\\\x07P(\x9b\x00\n", max_size=60))
def test_only_colours_are_left_of_any_mixture(text: str) -> None:
    rest = without_colours(to_text(text.encode()))
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", rest) is None
