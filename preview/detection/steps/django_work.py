"""Find what a Django project needs besides ``migrate``: migrations that are missing, and commands that load data."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Final

from preview.detection.plan import Step
from preview.detection.steps.purpose import (
    COLLECT_STATIC,
    INIT,
    MAKE_MIGRATIONS,
    SEED,
    StepWork,
    in_order,
    is_literal,
    left_out,
    purpose,
)
from preview.endpoints import AppTarget
from preview.sources import Sources
from preview.sources.written_commands import written_commands

_MODEL: Final = re.compile(rb"^class\s+\w+\s*\(\s*[^)\s]", re.MULTILINE)
_LABEL: Final = re.compile(rb"""^\s+label\s*=\s*["'](\w+)["']""", re.MULTILINE)
_COMMAND: Final = re.compile(r"(?:^|/)management/commands/([^\W_]\w*)\.py$")
# Storages with a manifest, in this project's own folder; django-heroku sets WhiteNoise's.
_MANIFEST_STORAGE: Final = re.compile(
    rb"^[^#\n]{0,400}?(?:(?:\bwhitenoise|\bcontrib\.staticfiles)\.(?:\w+\.)?\w*ManifestStaticFilesStorage"
    rb"|\bdjango_(?:on_)?heroku\.settings\()",
    re.MULTILINE,
)
_DEBUG: Final = re.compile(rb"^[ \t]{0,8}DEBUG[ \t]{0,4}=([^\n#]{1,200})", re.MULTILINE)
_FIXTURES: Final = ("", ".json", ".yaml", ".yml", ".xml", ".json.gz")


def find_django_work(
    sources: Sources, target: AppTarget, files: Sequence[str], server: str, migrate: Sequence[Step]
) -> StepWork:
    """Return the steps around ``migrate``, which is one of them.

    Args:
        sources: The project's files.
        target: The application; ``app_dir`` is the folder of ``manage.py``.
        files: The files that it loads, among them the settings in use.
        server: Name of the database server that the project needs; empty for SQLite.
        migrate: The steps of ``migrate`` itself.
    """
    seeds = in_order(_named(sources, target, migrate))
    made = _make_migrations(sources, target, migrate)
    static = _collect_static(sources, files, migrate)
    if server:
        return StepWork((*made, *migrate, *static), tuple(left_out(step, server) for step in seeds))
    return StepWork((*made, *migrate, *seeds, *static))


def _collect_static(sources: Sources, files: Sequence[str], migrate: Sequence[Step]) -> tuple[Step, ...]:
    """Return ``collectstatic`` if a page without debugging needs the manifest that it writes."""
    texts = {name: sources.text(name) for name in files}
    where = next((name for name, text in texts.items() if _MANIFEST_STORAGE.search(text)), None)
    if where is None or not migrate or any(name.endswith("/staticfiles.json") for name in sources.all_names):
        return ()
    debug = {match[1].strip() for text in texts.values() for match in _DEBUG.finditer(text)}
    if debug == {b"True"}:
        return ()
    first = migrate[0]
    argv = (*first.argv[: first.argv.index("migrate")], "collectstatic", "--noinput")
    why = f"{where} has a storage of static files that needs it"
    return (Step(COLLECT_STATIC, argv, first.directory, why, variables=first.variables),)


def _make_migrations(sources: Sources, target: AppTarget, migrate: Sequence[Step]) -> tuple[Step, ...]:
    labels = list(dict.fromkeys(_without_migrations(sources, target)))
    if not labels or not migrate:
        return ()
    first = migrate[0]
    argv = (*first.argv[: first.argv.index("migrate")], "makemigrations", *labels, "--noinput")
    why = f"{', '.join(labels)} {'has' if len(labels) == 1 else 'have'} models and no migrations"
    return (Step(MAKE_MIGRATIONS, argv, first.directory, why, variables=first.variables),)


def _without_migrations(sources: Sources, target: AppTarget) -> Iterator[str]:
    """Yield the labels of installed applications with models and without migrations."""
    prefix = "" if target.app_dir == "." else f"{posixpath.normpath(target.app_dir)}/"
    settings = b"\n".join(sources.text(name) for name in sources.names if b"INSTALLED_APPS" in sources.text(name))
    migrated = {
        name.rpartition("/migrations/")[0]
        for name in sources.names
        if "/migrations/" in name and not name.endswith("/__init__.py")
    }
    for folder in dict.fromkeys(_model_folders(sources)):
        if folder in migrated or not folder.startswith(prefix):
            continue
        parts = folder.removeprefix(prefix).split("/")
        names = "|".join(re.escape(".".join(parts[start:])) for start in range(len(parts)))
        if re.search(rf"[\"'](?:{names})(?:\.apps\.\w+)?[\"']".encode(), settings):
            config = f"{folder}/apps.py"
            label = _LABEL.search(sources.text(config)) if sources.has_file(config) else None
            yield label[1].decode() if label else parts[-1]


def _model_folders(sources: Sources) -> Iterator[str]:
    """Yield the folders of applications whose models are in ``models.py`` or in a package ``models``."""
    for name in sources.names:
        folder, _, file = name.rpartition("/")
        inner = folder.removesuffix("/models")
        if folder and (file == "models.py" or inner != folder) and _MODEL.search(sources.text(name)):
            yield inner


def _named(sources: Sources, target: AppTarget, migrate: Sequence[Step]) -> Iterator[Step]:
    """Yield ``loaddata`` and the project's own commands that its files name, if they exist."""
    if not migrate:
        return
    own = {match[1] for name in sources.names if (match := _COMMAND.search(name))}
    first = migrate[0]
    start = first.argv[: first.argv.index("migrate")]
    for command in written_commands(sources):
        words = command.words
        programs = [word.rpartition("/")[2] for word in words[:8]]
        name = next((name for name in ("manage.py", "django-admin") if name in programs), None)
        rest = words[programs.index(name) + 1 :] if name is not None else ()
        if not rest or not is_literal(rest):
            continue
        kind = _kind(sources, target, rest, own)
        if kind is not None:
            yield Step(kind, (*start, *rest), first.directory, f"{command.file} mentions it", variables=first.variables)


def _kind(sources: Sources, target: AppTarget, words: Sequence[str], own: set[str]) -> str | None:
    if words[0] == "loaddata":
        fixtures = [word for word in words[1:] if not word.startswith("-")]
        return SEED if fixtures and all(_is_fixture(sources, target, name) for name in fixtures) else None
    kind = purpose(words[0]) if words[0] in own else None
    return SEED if kind == INIT else kind


def _is_fixture(sources: Sources, target: AppTarget, name: str) -> bool:
    """Return true if the fixture is in a folder ``fixtures`` or at its path."""
    at = posixpath.normpath(posixpath.join(target.app_dir, name))
    ends = tuple(f"/fixtures/{name}{end}" for end in _FIXTURES)
    return sources.has_file(at) or any(f"/{file}".endswith(ends) for file in sources.all_names)
