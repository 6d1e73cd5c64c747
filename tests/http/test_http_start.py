"""What the start of the application costs."""

from __future__ import annotations

import pytest

from preview.http.app import create_app
from preview.settings import Settings


def test_no_route_compiles_what_would_build_its_address(settings: Settings) -> None:
    # The names are Werkzeug's own: where they change, the saving is gone unseen.
    rule = next(create_app(settings).url_map.iter_rules())
    with pytest.raises(NotImplementedError, match="addresses are not built"):
        rule._build()
