"""Plan an application of Streamlit: its file is no server by itself, ``streamlit run`` serves it."""

from __future__ import annotations

import posixpath
import re
from itertools import pairwise
from typing import Final

from preview.detection.plan import ServiceKind, StartPlan
from preview.detection.project_imports import is_aside
from preview.detection.scripts import plan_file
from preview.sources import Sources
from preview.sources.written_commands import commands_in_folders

_IMPORTED: Final = re.compile(rb"^(?:import streamlit\b|from streamlit import )", re.MULTILINE)
_PROGRAM: Final = re.compile(r"\bstreamlit\b")
_BEGINS: Final = b"set_page_config("
_NAMES: Final = ("streamlit_app.py", "app.py", "main.py", "Home.py", "home.py", "dashboard.py", "ui.py")
# Streamlit adds the files of this folder to the application beside it.
_PAGES: Final = "pages"
# The service reloads what has changed. The checks of origins stay on: the request's host is that of the browser's page.
_OPTIONS: Final = (
    "--server.port=$PORT",
    "--server.headless=true",
    "--server.fileWatcherType=none",
    "--browser.gatherUsageStats=false",
)


def plan_streamlit(sources: Sources, kinds: frozenset[ServiceKind] = frozenset()) -> StartPlan | None:
    """Return the plan of ``streamlit run`` with the file that the project's documents name, else the likeliest one.

    Args:
        sources: The project's files.
        kinds: Kinds of servers that the preview gets.

    Returns:
        None, if no file outside of tests imports Streamlit.
    """
    found = [name for name in sources.names if name.endswith(".py") and not is_aside(name) and _imports(sources, name)]
    if not found:
        return None
    named = _named(sources)
    file, folder, why = named or (*_likeliest(sources, found), "")
    reason = f"{file} is an application of Streamlit{why}"
    command = ("python", "-m", "streamlit", "run", posixpath.relpath(file, folder), *_OPTIONS)
    return plan_file(sources, file, folder, command, reason, [], kinds)


def _imports(sources: Sources, name: str) -> bool:
    return _IMPORTED.search(sources.text(name)) is not None


def _named(sources: Sources) -> tuple[str, str, str] | None:
    """Return file, working folder and reason of the first ``streamlit run`` whose file is there."""
    for command, folder in commands_in_folders(sources, _PROGRAM):
        words = command.words
        start = next((at for at, pair in enumerate(pairwise(words)) if pair == ("streamlit", "run")), len(words))
        script = next((word for word in words[start:] if word.endswith(".py")), None)
        if script is None:
            continue
        for place in dict.fromkeys((folder, posixpath.dirname(command.file) or ".")):
            file = posixpath.normpath(posixpath.join(place, script))
            if sources.has_file(file):
                return file, place, f" ({command.file} names it)"
    return None


def _likeliest(sources: Sources, found: list[str]) -> tuple[str, str]:
    """Return the file and its folder: an upper one with a usual name, or one that sets up the page."""

    def order(name: str) -> tuple[bool, int, int, bool, str]:
        *folders, last = name.split("/")
        rank = _NAMES.index(last) if last in _NAMES else len(_NAMES)
        return _PAGES in folders, len(folders), rank, _BEGINS not in sources.text(name), name

    file = min(found, key=order)
    return file, posixpath.dirname(file) or "."
