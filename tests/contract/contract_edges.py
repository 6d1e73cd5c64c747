"""The statement of the room's property tests: any input gives a value, or one of our errors, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from contract_checks import CODES, sentence_problem
from hypothesis import strategies as st

from preview.cli.exits import CommandFailed, UsageMistake
from preview.errors import PreviewError

__all__ = ["JSON", "NASTY", "TEXT", "attempt", "judge"]

P = ParamSpec("P")
T = TypeVar("T")

# What hypothesis gives at most is a few KiB; far more than that takes even on a busy machine.
_BOUND_S = 5.0

# What means something to one of the parsers, or did to some parser somewhere.
_CHARACTERS = ["\0", "\n", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\udc80", "\ud800", "\ufeff", "\U0001f600"]
_MARKS = [*"%/\\?#@:'\";&= \t", "", "\r\n", "..", "../", "//", "%2e%2e", "%2f", "%00", "[::1]", "http://", "A" * 5000]
_WORDS = ["-1", "1e999", "NaN", "0x1", "\uff19", "\u0661", "null", "true"]
NASTY = st.sampled_from([*_CHARACTERS, *_MARKS, *_WORDS])
TEXT = st.text(max_size=50) | NASTY | st.lists(NASTY | st.text(max_size=5), max_size=6).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.just(10**4000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def attempt(call: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T | None:
    """The value; None where the input was refused as it should be. Anything else is raised on."""
    begun, refusal = time.perf_counter(), None
    try:
        return call(*arguments, **keywords)
    except PreviewError as error:
        refusal = error
    finally:
        assert time.perf_counter() - begun < _BOUND_S
    judge(refusal)
    return None


def judge(refusal: PreviewError) -> None:
    """An error of ours has a stable code and says what is wrong in one short sentence."""
    assert refusal.code in CODES | {UsageMistake.code, CommandFailed.code}, refusal.code
    assert sentence_problem(refusal.message) is None, (sentence_problem(refusal.message), refusal.message)
