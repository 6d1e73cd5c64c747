"""Explanation of a server process's exit, in one sentence."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from preview.core.quoting import in_words
from preview.detection import ServiceNeed
from preview.environments import NO_ENGINE, OWN_NAMES
from preview.errors import LaunchFailed
from preview.runtime import Exit
from preview.supervisor.diagnosis.diagnose import is_own_mistake, last_error
from preview.supervisor.diagnosis.diagnose_network import with_source
from preview.supervisor.diagnosis.diagnosis import Diagnosis, with_own_paths
from preview.supervisor.diagnosis.last_words import last_line, wrong_value
from preview.supervisor.diagnosis.needs import (
    as_launch_error,
    describe_need,
    explain,
    explain_missing_service,
    find_unreached,
)
from preview.supervisor.diagnosis.other_case import in_other_case, name_file_in_other_case, written_otherwise
from preview.supervisor.diagnosis.places import own_place
from preview.supervisor.preview.live_preview import LivePreview

_FRAME = re.compile(r'File "(?P<path>[^"]{1,1000})", line (?P<line>\d{1,7})')
_OF_NODE = re.compile(r"The module \.{1,2}/\S{1,300}")
# Of a file that an import without an ending means.
_ENDINGS, _MAX_PATH = (".js", ".mjs", "/index.js"), 400
# Maximum number of entries read from a folder.
_MAX_ENTRIES = 2_000
# Bytes read of ``.gitignore``.
_MAX_IGNORED = 64_000
# NestJS connects ten times. Its first attempt may be long ago.
_TRIED_AGAIN = "Unable to connect to the database. Retrying"
_MAX_EARLIER, _MAX_ATTEMPT = 2_000, 12
# Quoted of an exception that no rule explains.
_MAX_ERROR = 240


def name_own_module(found: Diagnosis, lines: Sequence[str], project: Path) -> Diagnosis:
    """Add the importing line and a similar name to the diagnosis, if the missing module is the project's own.

    Reads folders: call this in a thread.

    Args:
        found: Diagnosis from the last lines.
        lines: These lines, oldest first.
        project: The project's folder, as the program saw it.
    """
    module = found.details.get("module")
    if found.reason not in {"missing_module", "missing_file"}:
        return found
    try:
        if not isinstance(module, str):
            return _name_left_out(_name_ending(name_file_in_other_case(found, lines, project), project), project)
        for root in (project, *_own_folders(lines, project)):
            written = written_otherwise(root, module.split("."))
            if written is not None:
                return in_other_case(found, f"{_place(lines, project)} {module!r}", written.replace("/", "."))
    except (OSError, RuntimeError, ValueError):
        return found
    if "." not in module and module not in OWN_NAMES:
        return found
    *parents, last = module.split(".")
    try:
        folder = _package(project, lines, parents)
        modules = [] if folder is None else _modules(folder)
    except (OSError, RuntimeError, ValueError):
        # The program may have left anything in its folder: link loops, missing rights, invalid names.
        return found
    if folder is None:
        return found
    if last in modules and folder.with_suffix(".py").is_file():
        name = "/".join(parents)
        hides = f"{name}.py hides the folder {name}, which has no __init__.py. Rename one of them."
        return replace(found, message=f"{_place(lines, project)} '{module}', but {hides}")
    near = difflib.get_close_matches(last, modules, n=1)
    hint = f"; did you mean '{'.'.join([*parents, near[0]])}'?" if near else ". Add it, or correct the import."
    if not near and _is_ignored(project, last):
        hint = ": .gitignore leaves it out of version control. Add it, as its author has it."
    return replace(found, message=f"{_place(lines, project)} '{module}', which the project does not have{hint}")


def _name_ending(found: Diagnosis, project: Path) -> Diagnosis:
    """Say of an import between Node's modules that it lacks the file's ending: ``./shop`` of ``shop.js``."""
    file = found.details.get("file")
    if not isinstance(file, str) or not 0 < len(file) <= _MAX_PATH:
        return found
    path = Path(os.path.normpath(project / file))
    is_own = path.is_relative_to(project)
    there = [ending for ending in _ENDINGS if is_own and Path(f"{path}{ending}").is_file()]
    if not there:
        return found
    name = f"{path.relative_to(project)}{there[0]}"
    sentence = f"An import lacks the ending of {name}: Node's modules need it. Write it with {there[0]!r}."
    return replace(found, message=sentence, details={**found.details, "written": name})


def _name_left_out(found: Diagnosis, project: Path) -> Diagnosis:
    """Say of a module of Node's that ``.gitignore`` names its folder: ``logs`` of ``./logs/logs.module``."""
    file = found.details.get("file")
    match = _OF_NODE.fullmatch(found.message.partition(" does not exist.")[0])
    if match is None or not isinstance(file, str):
        return found
    ignored = _ignored(project)
    part = next((one for one in file.split("/") if one.strip(".") and one in ignored), None)
    if part is None:
        return found
    why = f".gitignore leaves {part!r} out of version control"
    return replace(found, message=f"The module {file} does not exist: {why}. Add it, as its author has it.")


def _is_ignored(project: Path, module: str) -> bool:
    """Return True if the project's ``.gitignore`` names this module or package."""
    return not {f"{module}.py", module}.isdisjoint(_ignored(project))


def _ignored(project: Path) -> set[str]:
    """Return the last names of the lines of the project's ``.gitignore``."""
    file = project / ".gitignore"
    if file.is_symlink() or not file.is_file():
        return set()
    with file.open("rb") as opened:
        text = opened.read(_MAX_IGNORED).decode("utf-8", "replace")
    return {line.strip().rstrip("/").rpartition("/")[2] for line in text.splitlines()}


def _package(project: Path, lines: Sequence[str], parents: Sequence[str]) -> Path | None:
    """Return the package's folder, searched in the project's folder and in folders of files in the traceback."""
    roots = [project, *_own_folders(lines, project), *_folders(project)]
    places = (root.joinpath(*parents) for start in roots for root in (start, start.parent))
    # The program controls the lines, so a path must not lead out of the project, by ``..`` or by a link.
    inside = project.resolve()
    return next((one for one in places if one.resolve().is_relative_to(inside) and one.is_dir()), None)


def _folders(project: Path) -> list[Path]:
    return [entry for entry in sorted(project.iterdir())[:_MAX_ENTRIES] if entry.is_dir()]


def _modules(folder: Path) -> list[str]:
    entries = sorted(folder.iterdir())[:_MAX_ENTRIES]
    return [entry.stem for entry in entries if entry.suffix == ".py" or entry.is_dir()]


def _own_folders(lines: Sequence[str], project: Path) -> list[Path]:
    """Return the folders of the traceback's files that are really in the project.

    The program controls the lines: a path may lead out of the project, by ``..`` or by a link.
    """
    inside = project.resolve()
    paths = (Path(match["path"]) for line in lines for match in _FRAME.finditer(line))
    named = dict.fromkeys(path.parent for path in paths if path.is_relative_to(project))
    return [folder for folder in named if folder.resolve().is_relative_to(inside)]


def _place(lines: Sequence[str], project: Path) -> str:
    for line in reversed(lines):
        for match in _FRAME.finditer(line):
            path = Path(match["path"])
            if path.is_relative_to(project):
                return f"{path.relative_to(project)} line {match['line']} imports"
    return "The project imports"


def first_attempt(lines: Sequence[str], earlier: Callable[[], Sequence[str]]) -> Sequence[str]:
    """Return what NestJS printed of its first attempt to connect; empty if it did not try again.

    Later attempts may fail by the first one, with other errors.

    Args:
        lines: The program's last lines.
        earlier: Returns more of its lines.
    """
    if not any(_TRIED_AGAIN in line for line in lines):
        return ()
    printed = earlier()
    newest = (number for number in range(len(printed) - 1, -1, -1) if f"{_TRIED_AGAIN} (1)" in printed[number])
    at = next(newest, None)
    if at is None:
        return ()
    after = (number for number in range(at + 1, len(printed)) if f"{_TRIED_AGAIN} (" in printed[number])
    return printed[at : min(next(after, len(printed)), at + _MAX_ATTEMPT)]


async def explain_exit(
    preview: LivePreview,
    ended: Exit,
    needs: Sequence[ServiceNeed],
    lines: Sequence[str],
    *,
    served: bool,
    variables: Mapping[str, str],
    placeholders: Mapping[str, str],
) -> LaunchFailed:
    """Return the launch error that explains the exit of a process.

    Args:
        preview: The preview.
        ended: The exit.
        needs: Backing services found in the project's source.
        lines: The process's last lines, oldest first.
        served: True if the process had served before.
        variables: The process's environment variables.
        placeholders: Those that nobody has set, with the values that the service made up.

    Cancellation: connections are closed.
    """
    exit_facts = {"exit_code": ended.code, "exit_signal": ended.signal}
    found = await explain(preview, lines, needs)
    if found is None and (first := first_attempt(lines, partial(preview.output_since, 0, _MAX_EARLIER))):
        found = await explain(preview, first, needs)
    if found is not None:
        if preview.directory is not None:
            found = await trio.to_thread.run_sync(name_own_module, found, lines, preview.directory)
        if preview.reach is not None:
            place = own_place(lines, preview.directory, str(found.details.get("host") or ""))
            found = with_source(found, preview.reach, place, placeholders)
        return as_launch_error(found, **exit_facts)
    error = last_error(lines)
    if error is not None:
        error = with_own_paths(in_words(error + wrong_value(error, lines), _MAX_ERROR), preview.directory) or None
        place = own_place(lines, preview.directory)
        error = f"{error} ({place})" if error and place and place.partition(" ")[0] not in error else error
    said = f": {error}" if error else "."
    missing = [] if is_own_mistake(error) else await find_unreached(preview, needs)
    if served:
        # It may have needed the service for the first time at a request.
        beside = f" {describe_need(missing[0])} does not answer." if missing else ""
        ends = said if said.endswith(".") or not missing else f"{said}."
        return LaunchFailed(f"The process ended with {ended} after it had started{ends}{beside}", **exit_facts)
    needed = [need for need in missing if need.at_startup]
    if needed:
        return as_launch_error(await explain_missing_service(preview, needed[0], needs), **exit_facts)
    if error is None and ended.code and (last := last_line(lines)):
        said = f"; its last line: {with_own_paths(last, preview.directory)}"
    if ended.code == 0:
        sentence = f"The process ended with {ended} before it answered: it finished without starting a server."
        printed = f" The last error that it printed: {error}" if error else ""
        return LaunchFailed(f"{sentence}{_lacks(variables) or printed}", **exit_facts)
    if blamed := _placeholder_in(error or "", placeholders):
        said = f"{said}. {blamed}"
    lacks = _lacks(variables)
    ends = "." if lacks and not said.endswith(".") else ""
    return LaunchFailed(f"The process ended with {ended} before it answered{said}{ends}{lacks}", **exit_facts)


def _placeholder_in(error: str, placeholders: Mapping[str, str]) -> str:
    """Return a sentence on the variable whose made-up value the error quotes; empty if it quotes none."""
    for name, value in placeholders.items():
        if value and any(f"{mark}{value}{mark}" in error for mark in "'\"`"):
            return f"{name} is not set, so it had the placeholder {value}; set it in the project's settings."
    return ""


def _lacks(variables: Mapping[str, str]) -> str:
    """Return a sentence on what the environment lacks: a program may hide the error and just end."""
    if not any(name.startswith("PRISMA_") and value.endswith(f"/{NO_ENGINE}") for name, value in variables.items()):
        return ""
    return (
        " Prisma has no engine here, so what it does with its database at the start fails. Let the service's machine "
        "reach binaries.prisma.sh (or set PRISMA_ENGINES_MIRROR), clear the cache and launch again."
    )
