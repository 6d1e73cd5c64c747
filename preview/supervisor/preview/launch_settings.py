"""Settings of a launch as stored with the preview: start options, and names of variables without their values."""

from __future__ import annotations

import json

from pydantic_core import to_jsonable_python

from preview.detection import Overrides
from preview.launch_settings import ResolvedSettings
from preview.rollout import NO_CHOICES, Choices

# Longer settings are stored without their start options.
_MOST_CHARACTERS = 20_000


def settings_text(stored: ResolvedSettings, request: Overrides | None, flags: Choices = NO_CHOICES) -> str | None:
    """Return the settings as JSON: ``{"start": {…}, "variables": [NAME, …]}``; None for a launch without any.

    ``flags`` is the first key if there are any.

    Args:
        stored: Settings of the project.
        request: Those of the launch request, which take precedence.
        flags: Values of the operator's flags.
    """
    overrides = stored.under(request) or Overrides()
    given = {"preset": stored.preset, "memory_mb": stored.memory_mb}
    further = {"flags": flags.as_dict()} if flags.values else {}
    if overrides.is_empty and not any(given.values()) and not further:
        return None
    fields = to_jsonable_python(overrides) | given
    names = sorted(fields.pop("variables", {}))
    start = {name: value for name, value in sorted(fields.items()) if value not in (None, [], {}, False)}
    # The flags come first: a comparison of many launches reads only the beginning.
    text = json.dumps(further | {"start": start, "variables": names})
    if len(text) <= _MOST_CHARACTERS:
        return text
    return json.dumps(further | {"start": {}, "variables": names[:100]})
