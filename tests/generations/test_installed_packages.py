"""Installed packages that a project brings are no sources; nothing else of it is left out."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePath

import pytest

from preview.client.files import read_source
from preview.detection import detect
from preview.endpoints import extract
from preview.generations import GenerationLimits, RepositoryPart, installed_folders, unpack_repository
from preview.generations.folder import kept_folders, scan_folder
from preview.sources import Sources

APP = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/own')\ndef own(): ...\n"
FOREIGN = APP.replace("own", "foreign")
LIMITS = GenerationLimits.default()
ENVIRONMENT = {
    "pyvenv.cfg": "",
    "bin/serve.py": FOREIGN,
    "lib/python3.12/site-packages/shop/main.py": FOREIGN,
    "share/doc/demo.py": FOREIGN,
}


def environment(folder: str) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in ENVIRONMENT.items()}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def kept(files: Iterable[str], folder: str = "") -> tuple[set[str], list[str]]:
    """Return what an import has of a repository with these files, and the folders that it names as left out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # As GitHub packs them: each folder has an entry, too.
        for name in sorted({f"{above}/" for one in files for above in map(str, PurePath(one).parents)} | set(files)):
            archive.writestr(f"shop-1/{name.removeprefix('./')}", "x" if name in files else "")
    buffer.seek(0)
    part = RepositoryPart(folder)
    return set(unpack_repository(buffer, LIMITS, part)), [*part.installed]


@pytest.mark.parametrize(
    "files",
    [
        # An environment at the root, or at the root of the imported folder, is the project's own folder.
        {"main.py": APP, **ENVIRONMENT},
        # Own code beside the mark: a student's environment made in the project's folder, or one who hides code.
        {"backend/main.py": APP, **environment("backend")},
        {"backend/shop/main.py": APP, **environment("backend")},
        # The mark alone.
        {"shop/pyvenv.cfg": "", "shop/main.py": APP},
        # Folders of code that have an environment's names.
        {"shop/pyvenv.cfg": "", "shop/lib/main.py": APP, "shop/.env": ""},
        {"shop/pyvenv.cfg": "", "shop/bin/python_app.py": APP, "shop/Lib/python3.12/main.py": APP, "shop/.env": ""},
        {"shop/pyvenv.cfg/x.py": APP, "shop/lib/main.py": APP, "shop/app.py": APP},
    ],
)
def test_own_code_beside_the_mark_of_an_environment_stays(files: dict[str, str], tmp_path: Path) -> None:
    root = write(tmp_path, files)
    own = {name for name, text in files.items() if text == APP}
    sources = Sources(root)
    assert own <= set(sources.names)
    assert not sources.environments
    assert own <= {one.path for one in scan_folder(root, LIMITS)}
    assert own <= read_source(root).keys()
    assert own <= kept(files)[0]
    assert "/own" in {one.path for one in extract(root).endpoints}


def test_a_repository_s_folder_is_never_left_out_as_a_whole() -> None:
    files = environment("backend")
    assert "pyvenv.cfg" in kept(files, "backend")[0]
    assert "bin/serve.py" in kept(files, "backend")[0]


def test_paths_with_thousands_of_folders_are_read_in_time() -> None:
    deep = "a/" * 30_000
    part = RepositoryPart()
    entries = [zipfile.ZipInfo(f"shop-1/{deep}{number}/pyvenv.cfg") for number in range(200)]
    part.find_installed(entries)
    assert not part.installed
    assert not part.is_installed(deep)


@pytest.mark.parametrize(
    "inner", ["bin/python3.12", "Scripts/python.exe", "Lib/site-packages/a.py", "lib64/pypy3.10/site-packages/a.py"]
)
def test_an_interpreter_or_packages_make_an_environment(inner: str, tmp_path: Path) -> None:
    files = {"main.py": APP, "env1/pyvenv.cfg": "", "env1/.gitignore": "", f"env1/{inner}": ""}
    root = write(tmp_path, files)
    sources = Sources(root)
    assert (set(sources.all_names), sources.environments) == ({"main.py"}, ["env1"])
    assert read_source(root).keys() == {"main.py"} == {one.path for one in scan_folder(root, LIMITS)}
    assert kept(files)[0] == {"main.py"}


def test_a_link_out_of_the_project_makes_no_environment(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"python3": ""})
    root = write(tmp_path / "project", {"shop/pyvenv.cfg": "", "shop/lib/main.py": APP})
    (root / "shop/bin").symlink_to(outside)
    sources = Sources(root)
    assert "shop/lib/main.py" in sources.names


@pytest.mark.parametrize("name", ["myenv", "tools/py311", "env.old"])
def test_an_environment_of_any_name_is_left_out_and_named(name: str, tmp_path: Path) -> None:
    files = {"main.py": APP, "requirements.txt": "fastapi\n", **environment(name)}
    root = write(tmp_path, files)
    own = {"main.py", "requirements.txt"}
    sources = Sources(root)
    assert (set(sources.all_names), sources.environments) == (own, [name])
    assert [one.path for one in extract(root).endpoints] == ["/own"]
    decisions = detect(root).decisions
    assert [one for one in decisions if one.startswith("not read: ") and name in one], decisions
    assert {one.path for one in scan_folder(root, LIMITS)} == own
    assert root / name not in kept_folders(root)
    assert read_source(root).keys() == own
    assert kept(files) == (own, [name])
    assert installed_folders(root) == [name]


def test_packages_of_node_are_left_out_where_a_manifest_names_them() -> None:
    files = {"package.json", "index.js", "node_modules/express/index.js", "api/package.json", "api/node_modules/a/b.js"}
    assert kept(files) == ({"package.json", "index.js", "api/package.json"}, ["api/node_modules", "node_modules"])
    # Without a manifest nothing would install them again; below `src` they are a project's own way to name modules.
    files = {"index.js", "node_modules/express/index.js", "src/node_modules/shop/index.js"}
    assert kept(files) == (files, [])


def test_what_a_push_leaves_out_is_listed_once(tmp_path: Path) -> None:
    names = ("a.js", "node_modules/a/node_modules/b/c.js", ".venv/bin/python", ".venv/pyvenv.cfg", ".git/x")
    root = write(tmp_path, dict.fromkeys(names, "") | environment("web/env1"))
    assert installed_folders(root) == [".venv", "node_modules", "web/env1"]
