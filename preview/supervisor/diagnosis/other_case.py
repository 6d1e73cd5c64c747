"""Names that the project has in other capitals: Windows and macOS take them for the same, Linux does not."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from preview.supervisor.diagnosis.diagnosis import Diagnosis

# Maximum number of entries read from a folder.
_MAX_ENTRIES = 2_000
_MAX_PARTS = 20
_SUFFIXES = ("", ".py", ".js", ".ts", ".mjs", ".cjs", ".jsx", ".tsx", ".json")
# Node's "Require stack", and its modules' "imported from".
_REQUIRED_BY = re.compile(r"^- (?P<path>/\S{1,400})$|imported from (?P<other>/\S{1,400})")
_MAX_LINES = 30


def written_otherwise(base: Path, parts: Sequence[str]) -> str | None:
    """Return the path below a folder as the project writes it, if only capitals differ; else None.

    Follows no links. The last part may lack its suffix.

    Raises:
        OSError: A folder cannot be read.
    """
    found: list[str] = []
    folder, differs = base, False
    for number, part in enumerate(parts[:_MAX_PARTS]):
        is_last = number == len(parts) - 1
        names = [
            entry.name
            for _, entry in zip(range(_MAX_ENTRIES), os.scandir(folder), strict=False)
            if not entry.is_symlink()
        ]
        wanted = [part + suffix for suffix in (_SUFFIXES if is_last else ("",))]
        if any(name in names for name in wanted):
            found.append(part)
        else:
            lower = {name.casefold() for name in wanted}
            near = next((name for name in sorted(names) if name.casefold() in lower), None)
            if near is None:
                return None
            differs = True
            found.append(near if part.casefold() == near.casefold() else near.rpartition(".")[0])
        folder /= found[-1]
    return "/".join(found) if differs and len(found) == len(parts) else None


def name_file_in_other_case(found: Diagnosis, lines: Sequence[str], project: Path) -> Diagnosis:
    """Say so if the file that is not there is there in other capitals.

    Args:
        found: Diagnosis of a missing file.
        lines: The last lines of the program, oldest first.
        project: The project's folder, as the program saw it.

    Raises:
        OSError: A folder cannot be read.
    """
    name = found.details.get("file")
    if not isinstance(name, str) or not 0 < len(name) <= 400:
        return found
    base = project
    if name.startswith("."):
        # The first of the stack asks; it may be on the line of the error.
        near = list(lines[-_MAX_LINES:])
        number = next((number for number in range(len(near) - 1, -1, -1) if "Cannot find module" in near[number]), 0)
        asked = next((one for line in near[number:] if (one := _asking(line, project)) is not None), None)
        if asked is None:
            return found
        base = asked.parent
    path = Path(os.path.normpath(base / name))
    if not path.is_relative_to(project):
        return found
    parts = path.relative_to(project).parts
    written = written_otherwise(project, parts)
    return found if written is None else in_other_case(found, f"The file {name} does not exist", written)


def in_other_case(found: Diagnosis, start: str, written: str) -> Diagnosis:
    """Return the diagnosis with the sentence about capitals."""
    sentence = f"{start}: the project has it as {written!r}, and Linux tells capitals apart. Write both alike."
    return replace(found, message=sentence, details={**found.details, "written": written})


def _asking(line: str, project: Path) -> Path | None:
    match = _REQUIRED_BY.search(line)
    path = Path(match["path"] or match["other"]) if match is not None else None
    return path if path is not None and path.is_relative_to(project) else None
