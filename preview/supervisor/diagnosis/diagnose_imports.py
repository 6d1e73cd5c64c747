"""Diagnosis of the project's own names: imports that lack, are double, or are in a circle; old names; missing keys."""

from __future__ import annotations

import re
from collections.abc import Sequence

from preview.supervisor.diagnosis.diagnosis import Diagnosis

_IMPORT = re.compile(
    r"^ImportError: cannot import name '(?P<name>\w{1,100})' from "
    r"(?P<partial>partially initialized module )?'(?P<module>[\w.]{1,200})'"
    r"(?: \(most likely due to a circular import\))?(?: \((?P<path>[^)]{1,300})\))?"
)
# Modules of Python for Windows and of pywin32.
_WINDOWS = re.compile(
    r"^ModuleNotFoundError: No module named "
    r"'(?P<module>win32\w{0,20}|winreg|_winapi|winsound|msvcrt|pythoncom|pywintypes)'"
    r"|^(?:OSError|FileNotFoundError): (?P<file>[A-Za-z]:\\[^:\n]{1,200}): cannot open shared object file"
)
_FRAME = re.compile(r'^\s{0,8}File "(?P<path>[^"]{1,400})", line (?P<line>\d{1,7}), in ')
_MODEL = re.compile(
    r"^RuntimeError: Model class (?P<module>[\w.]{1,200})\.(?P<name>\w{1,100}) doesn't declare an explicit app_label "
    r"and isn't in an application in INSTALLED_APPS"
)
# What Python 3 has no more. A class of the project may have such a method.
_OLD = re.compile(
    r"^(?:AttributeError: '(?:dict|collections\.\w{1,40})' object has no attribute "
    r"'(?:iteritems|iterkeys|itervalues|has_key)'"
    r"|NameError: name '(?:basestring|execfile|raw_input|unichr|unicode|xrange)' is not defined)"
)
_NO_MEMBER = re.compile(
    r"^ImportError: Module \"(?P<module>[\w.]{1,200})\" does not define a \"(?P<name>\w{1,100})\" attribute/class"
)
# `configs[name]`: the key is not written out.
_ANY_KEY = re.compile(r"^KeyError: (?P<key>None|'[^'\n]{1,60}'|\"[^\"\n]{1,60}\")$")
_LOOKUP = re.compile(r"\b(?P<table>[A-Za-z_]\w{0,60})\[\s{0,4}(?P<name>[A-Za-z_][\w.]{0,60})\s{0,4}\]")
_KEY = re.compile(r"^KeyError: ['\"](?P<name>[A-Z][A-Z0-9_]{2,80})['\"]$")
_ENVIRONMENT = re.compile(r"environ|getenv|dotenv|\benv\b")
# A frame has one line of source and one of marks; Python 3.13 shows up to four.
_SHOWN_LINES = 8
_START = "Traceback (most recent call last)"
_MOST_LINES = 150
# The folder of a preview's files.
_PROJECT = "/project/"


def bad_name(lines: Sequence[str], number: int) -> Diagnosis | None:
    """Diagnose a name or key of the project's own that is not there; None for other lines."""
    readers = (of_windows, bad_import, bad_member, bad_model, old_name, bad_key, bad_lookup)
    return next((found for read in readers if (found := read(lines, number)) is not None), None)


def of_windows(lines: Sequence[str], number: int) -> Diagnosis | None:
    """Diagnose a module or a library that only Windows has; None for other lines."""
    said = _WINDOWS.match(lines[number])
    if said is None:
        return None
    frames = _frames(lines, number)
    is_own = bool(frames) and _PROJECT in frames[-1][0]
    path, line = next((one for one in reversed(frames) if _PROJECT in one[0]), ("", ""))
    place = f"{path.rpartition(_PROJECT)[2]}, line {line}," if path else "The project"
    if said["file"] is not None:
        message = f"{place} loads {said['file']}, a file of Windows. Take its path from a variable that may be empty."
        return Diagnosis("missing_file", message, {"file": said["file"]})
    module = said["module"]
    if is_own:
        message = f"{place} imports {module!r}, which only Windows has. Import it only there, or replace it."
    else:
        message = f"{place} loads a package that needs {module!r}, which only Windows has. Replace the package."
    return Diagnosis("missing_module", message, {"module": module})


def bad_import(lines: Sequence[str], number: int) -> Diagnosis | None:
    """Diagnose a name that the project's own module lacks; None for packages and other lines.

    Python calls every name that an unfinished module lacks a circular import, also one that is nowhere. The cases:

    1. Only the module's own file imports the name from it: nothing has it.
    2. Another file, which the module imports first, imports from it: both import each other.
    3. The module is complete and lacks the name.
    """
    said = _IMPORT.match(lines[number])
    if said is None or said["path"] is None or not (said["partial"] or _PROJECT in said["path"]):
        return None
    frames = _frames(lines, number)
    if not frames:
        return None
    path, line = frames[-1]
    module, name, file = said["module"], said["name"], path.rpartition(_PROJECT)[2]
    if said["partial"] and path != said["path"]:
        return Diagnosis(
            "circular_import",
            f"{file}, line {line}, imports {name!r} from {module!r}, which is not complete yet: the two import each "
            "other. Move one of the imports into the function that needs it.",
            {"module": module, "file": file, "line": int(line)},
        )
    if said["partial"]:
        return Diagnosis(
            "missing_module",
            f"{file}, line {line}, imports {name!r}, and {module!r} has no module of this name. Add it, or correct the "
            "import.",
            {"module": f"{module}.{name}"},
        )
    return Diagnosis(
        "missing_name",
        f"{file}, line {line}, imports {name!r} from {module!r}, which does not have it. Add it, or correct the "
        "import.",
        {"name": name, "file": file, "line": int(line)},
    )


def bad_model(lines: Sequence[str], number: int) -> Diagnosis | None:
    """Diagnose a Django model in a module that no installed application has, and name who imports it; else None."""
    said = _MODEL.match(lines[number])
    if said is None:
        return None
    module, frames = said["module"], [one for one in _frames(lines, number) if _PROJECT in one[0]]
    own = f"/{module.replace('.', '/')}"
    asking = next((one for one in reversed(frames) if not one[0].removesuffix(".py").endswith(own)), None)
    told = f"The module {module!r} has models"
    facts: dict[str, object] = {"module": module}
    if asking is not None:
        file, line = asking[0].rpartition(_PROJECT)[2], int(asking[1])
        told = f"{file}, line {line}, imports {module!r}, which has models"
        facts |= {"file": file, "line": line}
    return Diagnosis(
        "wrong_setting",
        f"{told} and is in no application of INSTALLED_APPS. Import it by the name that its application has there, or "
        "add the application.",
        facts,
    )


def old_name(lines: Sequence[str], number: int) -> Diagnosis | None:
    """Diagnose a name of Python 2 that the project itself uses; None for packages and other lines."""
    if not _OLD.match(lines[number]):
        return None
    path, line = next(reversed(_frames(lines, number)), ("", ""))
    if _PROJECT not in path:
        return None
    file = path.rpartition(_PROJECT)[2]
    return Diagnosis(
        "python_version",
        f"{file}, line {line}, is written in Python 2. Previews run Python 3: port it first.",
        {"file": file, "line": int(line)},
    )


def bad_member(lines: Sequence[str], number: int) -> Diagnosis | None:
    """Diagnose a class that Django's settings name and its module does not have; None for other lines."""
    said = _NO_MEMBER.match(lines[number])
    if said is None:
        return None
    module, name = said["module"], said["name"]
    return Diagnosis(
        "missing_module",
        f"Django's settings name '{module}.{name}', but the module {module!r} has no {name!r}. Correct the name there, "
        "add it to the module, or pin the version of the package that has it.",
        {"module": module},
    )


def bad_key(lines: Sequence[str], number: int) -> Diagnosis | None:
    """Diagnose a key in capitals that a dictionary or Flask's configuration lacks; None for the environment.

    The environment raises in its own class; without the source line nothing is certain.
    """
    said, shown = _KEY.match(lines[number]), _shown(lines, number)
    if said is None or shown is None:
        return None
    file, line, code = shown
    name = said["name"]
    if not any(f"[{quote}{name}{quote}]" in code for quote in "'\""):
        return None
    owner = "Flask's configuration" if ".config[" in code else "a dictionary"
    return Diagnosis(
        "missing_key",
        f"{file}, line {line}, reads the key {name!r} of {owner}, which does not have it. Set it before that line.",
        {"key": name, "file": file, "line": line},
    )


def bad_lookup(lines: Sequence[str], number: int) -> Diagnosis | None:
    """Diagnose a dictionary of the project that is looked up with a name that it lacks; None for other lines.

    Of several lookups in a line, nothing tells which one failed.
    """
    said, shown = _ANY_KEY.match(lines[number]), _shown(lines, number)
    table = None if shown is None else _LOOKUP.search(shown[2])
    if said is None or shown is None or table is None or shown[2].count("[") > 1:
        return None
    file, line, _ = shown
    return Diagnosis(
        "missing_key",
        f"{file}, line {line}, looks up {said['key']} in {table['table']}, which does not have it. If {table['name']} "
        "comes from a variable, set that to one of the keys.",
        {"key": said["key"].strip("'\""), "file": file, "line": line},
    )


def _shown(lines: Sequence[str], number: int) -> tuple[str, int, str] | None:
    """Return file, line and source of the frame that raised; None for a package's, and for one about variables."""
    above = range(number - 1, max(-1, number - _SHOWN_LINES), -1)
    at = next((one for one in above if _FRAME.match(lines[one])), number - 1)
    frame = _FRAME.match(lines[at]) if at >= 0 else None
    if frame is None or at + 1 == number or _PROJECT not in frame["path"] or _ENVIRONMENT.search(lines[at + 1]):
        return None
    return frame["path"].rpartition(_PROJECT)[2], int(frame["line"]), lines[at + 1].strip()


def _frames(lines: Sequence[str], number: int) -> list[tuple[str, str]]:
    """Return file and line of each frame of the traceback that ends here, the newest last."""
    found: list[tuple[str, str]] = []
    for line in lines[max(0, number - _MOST_LINES) : number]:
        if _START in line:
            found.clear()
        elif frame := _FRAME.match(line):
            found.append((frame["path"], frame["line"]))
    return found
