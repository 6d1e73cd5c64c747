"""What a template, and with it each of its forks, is shown besides its environment."""

from __future__ import annotations

import sys

import pytest

from preview.runtime.warm.command import template_view_paths


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="the service's packages lie in its interpreter's own folder")
def test_no_packages_of_the_service_are_shown() -> None:
    shown = template_view_paths(())
    assert [path for path in shown if path.is_relative_to(sys.prefix) or path.name == "site-packages"] == []
