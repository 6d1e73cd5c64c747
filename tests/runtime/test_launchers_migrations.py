"""The launcher of Django's migrations: packages keep those that they have, and get names that Python has lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from preview.runtime.launchers import MIGRATIONS

MODEL = "from django.db import models\nclass {name}(models.Model):\n    {fields}\n"
INITIAL = (
    "from django.db import migrations, models\nclass Migration(migrations.Migration):\n    initial = True\n"
    "    operations = [migrations.CreateModel('Tag', [('id', models.AutoField(primary_key=True)),"
    " ('name', models.CharField(max_length=9))])]\n"
)
FILES = {
    "site-packages/tagged/__init__.py": "",
    "site-packages/tagged/models.py": MODEL.format(name="Tag", fields="name = models.CharField(max_length=9)"),
    "site-packages/tagged/migrations/__init__.py": "",
    "site-packages/tagged/migrations/0001_initial.py": INITIAL,
    "shop/__init__.py": "",
    "shop/models.py": MODEL.format(name="Item", fields="tags = models.ManyToManyField('tagged.Tag')"),
    "settings.py": "SECRET_KEY = 'x'\nINSTALLED_APPS = ['tagged', 'shop']\n"
    "DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
    "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}\n",
    "manage.py": "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\nsys.path.append('site-packages')\n"
    "from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n",
}


def manage(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_changed_model_of_a_package_gets_no_migration_and_the_projects_own_is_made(
    tmp_path: Path,
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    out = manage(tmp_path, str(MIGRATIONS), "manage.py", "makemigrations", "shop", "--noinput")
    assert "left alone, because installed packages have them: tagged" in out
    assert [one.name for one in (tmp_path / "site-packages/tagged/migrations").glob("0*.py")] == ["0001_initial.py"]
    made = (tmp_path / "shop/migrations/0001_initial.py").read_text()
    assert "('tagged', '0001_initial')" in made.replace('"', "'")
    assert "OK" in manage(tmp_path, "manage.py", "migrate", "--noinput")


def test_older_packages_get_back_what_python_has_lost_as_the_application_does(tmp_path: Path) -> None:
    aged = "import inspect\nassert inspect.getargspec(lambda name: name).args == ['name']\n"
    for name, text in {**FILES, "settings.py": aged + FILES["settings.py"]}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert "OK" in manage(tmp_path, str(MIGRATIONS), "manage.py", "migrate", "--noinput")
