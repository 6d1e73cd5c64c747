"""Settings of a launch as stored with the preview: start options, and names of variables without their values."""

from __future__ import annotations

import json

from pydantic_core import to_jsonable_python

from preview.detection import Overrides

# Longer settings are stored without their start options.
_MOST_CHARACTERS = 20_000


def settings_text(overrides: Overrides | None) -> str | None:
    """Return the settings as JSON: ``{"start": {…}, "variables": [NAME, …]}``; None for a launch without any."""
    if overrides is None or overrides.is_empty:
        return None
    fields = to_jsonable_python(overrides)
    names = sorted(fields.pop("variables", {}))
    start = {name: value for name, value in sorted(fields.items()) if value not in (None, [], {}, False)}
    text = json.dumps({"start": start, "variables": names})
    return text if len(text) <= _MOST_CHARACTERS else json.dumps({"start": {}, "variables": names[:100]})
