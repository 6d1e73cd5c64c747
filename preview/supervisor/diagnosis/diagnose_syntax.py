"""Diagnosis of a syntax error of Python: which file and line, and which Python the code is written for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from preview.detection import is_python_2
from preview.sources.newer_syntax import newer_python
from preview.supervisor.diagnosis.diagnosis import Diagnosis

SYNTAX = re.compile(r"^\s{0,40}(?:SyntaxError|IndentationError|TabError): (?P<said>.{1,200})")
_PLACE = re.compile(r'File "(?P<file>[^"]{1,400})", line (?P<line>\d{1,7})')
# What Git leaves at a merge that nobody has finished; the traceback prints the line without its indentation.
_CONFLICT = re.compile(r"^\s{0,40}(?:<<<<<<< |=======\s*$|>>>>>>> )")
# The wrong module system, which other rules explain.
_NODE_SYNTAX = ("Cannot use import statement", "Unexpected token 'export'", "await is only valid")
_SCRIPT_PLACE = re.compile(r"^(?:file://)?(?P<file>/\S{1,400}\.[cm]?[jt]sx?):(?P<line>\d{1,7})$")


def bad_syntax(lines: Sequence[str], number: int) -> Diagnosis | None:
    """Diagnose a syntax error; Python and Node print file and line a few lines above it."""
    said = SYNTAX.match(lines[number])
    if said is None or said["said"].startswith(_NODE_SYNTAX):
        return None
    for line in reversed(lines[max(0, number - 6) : number]):
        if (script := _SCRIPT_PLACE.match(line)) and "/node_modules/" not in script["file"]:
            file = script["file"].rpartition("/project/")[2]
            wrong = f"{file}, line {script['line']}, is not valid JavaScript: {said['said']}. Correct it."
            return Diagnosis("syntax_error", wrong, {"file": file, "line": int(script["line"])})
    for line in reversed(lines[max(0, number - 6) : number]):
        if place := _PLACE.search(line):
            file = place["file"].rpartition("/project/")[2]
            code = lines[max(0, number - 2)]
            newer = newer_python(said["said"], code)
            if any(_CONFLICT.match(one) for one in lines[max(0, number - 3) : number]):
                return Diagnosis(
                    "syntax_error",
                    f"{file}, line {place['line']}, is the mark of a merge conflict. Resolve the conflict there.",
                    {"file": file, "line": int(place["line"])},
                )
            if is_python_2(said["said"], code):
                return Diagnosis(
                    "syntax_error",
                    f"{file}, line {place['line']}, is written in Python 2. Previews run Python 3: port it first.",
                    {"file": file, "line": int(place["line"])},
                )
            wrong = f"{file}, line {place['line']}, is not valid Python: {said['said']}. Correct it"
            # Only of newer syntax is it known that another Python would help.
            other = f", or set PREVIEW_ENVIRONMENT_PYTHON to Python {newer} or newer." if newer else "."
            return Diagnosis(
                "syntax_error",
                wrong + other,
                {"file": file, "line": int(place["line"])},
            )
    return None
