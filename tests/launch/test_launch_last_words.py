"""What is quoted of a program that ends for a reason that no rule explains."""

from __future__ import annotations

import pytest

from preview.supervisor.diagnosis.diagnose import diagnose
from preview.supervisor.diagnosis.last_words import last_line, last_words


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("Error: boom\n    at x (y.js:1:2) {\n  code: 'X'\n}\n\nNode.js v20.20.2", "Error: boom"),
        ("src/a.ts(4,7): error TS2322: Type 'string' is not assignable.\nnpm error Lifecycle script `build` failed",
         "src/a.ts(4,7): error TS2322: Type 'string' is not assignable"),
        ("INJECTION_ERROR: Injection failed on A > B\nOrigin: Unable\n    at async start (/a/b.ts:1:2)",
         "INJECTION_ERROR: Injection failed on A > B"),
        ("sh: 1: tsc: not found\nnpm error code 127", "sh: 1: tsc: not found"),
        ("subprocess.CalledProcessError: Command '['npx', '-y', 'x']' returned non-zero exit status 1.",
         "subprocess.CalledProcessError: a command returned non-zero exit status 1"),
        (("pydantic_core._pydantic_core.ValidationError: 1 validation error for AppSettings\nkeys.google\n"
         "  Input should be a valid string [type=string_type, input_value={}, input_type=dict]\n    For further"),
         ("pydantic_core._pydantic_core.ValidationError: 1 validation error for AppSettings: keys.google: "
         "Input should be a valid string")),
        ("ValidationError: 1 validation error for AppSettings", "ValidationError: 1 validation error for AppSettings"),
        ("all is well", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_newest_line_that_tells_an_error_is_quoted(printed: str, words: str | None) -> None:
    assert last_words(printed.splitlines()) == words


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        ('{"level":50,"msg":"cannot start: no key"}\n}', "cannot start: no key"),
        ('stopping\n{"a": 1}\n[]', "stopping"),
        ("the key is wrong\n    at new Keys (/app/a.js:1:2)\nread without a value: A, B", "the key is wrong"),
        ("the shelf is full\n\nBun v1.4.5 (Linux x64)", "the shelf is full"),
        ("{" * 5000, ""),
        ('{"a":' * 200, ""),
    ],
)
def test_no_data_is_quoted(printed: str, line: str) -> None:
    assert last_line(printed.splitlines()) == line


def test_a_client_without_its_engine_is_told_as_bun_prints_it() -> None:
    line = "error: The Prisma client was not generated: its engine could not be downloaded from binaries.prisma.sh"
    found = diagnose([line, "", "Bun v1.4.5 (Linux x64)"])
    assert found is not None
    assert "Prisma" in found.message
