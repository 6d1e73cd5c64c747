"""The endpoints of the application that would be started, ``preview.toml`` heeded."""

from __future__ import annotations

from pathlib import Path

from preview.detection.overrides.choose import choose_app
from preview.detection.overrides.reading import read_preview_file
from preview.endpoints import Extraction, Found, extract, find_apps
from preview.endpoints.budget import OutOfBudget
from preview.sources import Sources


def read_endpoints(directory: Path) -> Extraction:
    """As ``extract``, for the application that ``preview.toml`` names where it names one.

    Raises:
        InvalidGeneration: ``preview.toml`` has a mistake, or names an application that is not there.
    """
    given = read_preview_file(directory)
    if given.app is None and given.framework is None:
        return extract(directory)
    sources = Sources(directory)
    app = choose_app(sources, find_apps(sources), given)
    if app is None:
        return extract(directory)
    found: Found = {}
    complete = True
    try:
        app.list_endpoints(found)
    except OutOfBudget:
        complete = False
    return Extraction(tuple(found.values()), sources.skipped, app.target, complete)
