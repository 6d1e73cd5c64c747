"""Calls of the confined programs, and their answers. An answer is checked in full: hostile data may have written it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preview.core.quoting import clipped, visible
from preview.data.client import ConfinedProgram, RunConfined
from preview.data.confined import CONFINED
from preview.errors import DataUnavailable, QueryRefused
from preview.runtime.sandbox import interpreter_paths

# execve(2): one variable has 128 KiB at most (MAX_ARG_STRLEN).
_REQUEST_BYTES = 120 * 1024
# A program answers with 1 MiB of rows, or fewer.
_ANSWER_BYTES = 3 * 1024 * 1024
_MOST_SENTENCE = 400


async def call_confined(
    program: Path,
    request: Mapping[str, object],
    run: RunConfined,
    *,
    writable: tuple[Path, ...],
    readable: tuple[Path, ...] = (),
) -> Any:
    """Run a confined program, and return what it answers: parsed JSON that nothing is known of.

    Args:
        program: The program's file.
        request: What it is to do.
        run: Runs it.
        writable: Folders that it may change; the first is its working folder.
        readable: What it needs besides the interpreter.

    Raises:
        QueryRefused: A statement is refused.
        DataUnavailable: The program failed, or its answer is not in its form.

    Cancellation: the program is ended.
    """
    asked = json.dumps(request, ensure_ascii=True, separators=(",", ":"))
    if len(asked) > _REQUEST_BYTES:
        raise QueryRefused("The statement or the names of the files are too long.")
    said = await run(
        ConfinedProgram(
            argv=(sys.executable, "-I", "-S", str(program)),
            environment={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PREVIEW_REQUEST": asked},
            readable=(CONFINED, *interpreter_paths(Path(sys.executable)), *readable),
            writable=writable,
            directory=writable[0],
        )
    )
    answer = _parsed(said)
    if "refused" in answer:
        raise QueryRefused(sentence_of(answer["refused"]))
    if "unavailable" in answer:
        raise DataUnavailable(sentence_of(answer["unavailable"]))
    return answer.get("ok")


def _parsed(said: bytes) -> dict[str, Any]:
    line = said[-_ANSWER_BYTES - 1 :].rstrip(b"\n").rpartition(b"\n")[2]
    try:
        answer = json.loads(line) if len(line) <= _ANSWER_BYTES else None
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise malformed()
    return answer


def malformed() -> DataUnavailable:
    """Return the error of an answer that is not in its form."""
    return DataUnavailable("The program that reads the data ended without an answer.")


def text_of(value: object) -> str:
    """Return a text that can be encoded.

    Raises:
        DataUnavailable: It is no text.
    """
    if not isinstance(value, str):
        raise malformed()
    return value.encode("utf-8", "replace").decode()


def list_of(value: object, most: int) -> list[Any]:
    """Return a list of bounded length.

    Raises:
        DataUnavailable: It is no list, or a longer one.
    """
    if not isinstance(value, list) or len(value) > most:
        raise malformed()
    return value


def pair_of(value: object) -> tuple[Any, Any]:
    """Return a list of two.

    Raises:
        DataUnavailable: It is none.
    """
    if not isinstance(value, list) or len(value) != 2:
        raise malformed()
    return value[0], value[1]


def count_of(value: object) -> int:
    """Return a count.

    Raises:
        DataUnavailable: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise malformed()
    return value


def field(value: object, name: str) -> Any:
    """Return a member of an object; None without it.

    Raises:
        DataUnavailable: It is no object.
    """
    if not isinstance(value, dict):
        raise malformed()
    return value.get(name)


def sentence_of(value: object) -> str:
    """Return a program's sentence on one line; names in it may have any characters.

    Raises:
        DataUnavailable: It is no text.
    """
    return clipped(visible(" ".join(text_of(value).split())), _MOST_SENTENCE)
