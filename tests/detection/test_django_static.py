"""Django's storages of static files that answer nothing until the files are collected."""

from __future__ import annotations

from pathlib import Path

import pytest
from detection_kit import MANAGE, plan_of

WHITENOISE = 'STATICFILES_STORAGE = "whitenoise.storage.CompressedManifestStaticFilesStorage"\n'


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("DEBUG = False\n" + WHITENOISE, {}, True),
        ("DEBUG = os.getenv('DEBUG') == '1'\n" + WHITENOISE, {}, True),
        ('S = {"x": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}\n', {}, True),
        ("import django_on_heroku\ndjango_on_heroku.settings(locals())\n", {}, True),
        ("DEBUG = True\n" + WHITENOISE, {}, False),
        ("# " + WHITENOISE, {}, False),
        ('STATICFILES_STORAGE = "storages.backends.s3boto3.S3ManifestStaticStorage"\n', {}, False),
        ("DEBUG = False\n" + WHITENOISE, {"static/staticfiles.json": "{}"}, False),
        ("DEBUG = False\n", {}, False),
    ],
)
def test_static_files_are_collected_if_pages_need_their_manifest(
    tmp_path: Path, text: str, more: dict[str, str], expected: bool
) -> None:
    settings = "import os\nROOT_URLCONF = 'shop.urls'\nINSTALLED_APPS = []\n" + text
    plan = plan_of(
        tmp_path,
        {
            "manage.py": MANAGE,
            "shop/settings.py": settings,
            "shop/__init__.py": "",
            "shop/urls.py": "urlpatterns = []\n",
            **more,
        },
    )
    found = [step.argv for step in plan.steps if step.name == "static files"]
    assert found == ([("python", "manage.py", "collectstatic", "--noinput")] if expected else [])
