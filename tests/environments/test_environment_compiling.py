"""Extension modules in C, compiled while an environment is built, and builds that failed elsewhere."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel
from jail_kit import make_jail

from preview.environments import EnvironmentCache, EnvironmentRequest, Jail
from preview.environments.folders import environment
from preview.environments.sandbox.installed import find_installed
from preview.runtime import child_subreaper
from preview.settings import Settings

LIMIT_S = 120

BACKEND = '''
import pathlib, subprocess, sysconfig, zipfile
CODE = """
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "fast", "", -1, methods};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&module); }
"""

def build_wheel(directory, config_settings=None, metadata_directory=None):
    pathlib.Path("fast.c").write_text(CODE)
    headers = sysconfig.get_paths()["include"]
    command = ["gcc", "-shared", "-fPIC", "-I", headers, "fast.c", "-o", "fast.so"]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(pathlib.Path(directory, "fast-1-py3-none-any.whl"), "w") as archive:
        archive.write("fast.so")
        archive.writestr("fast-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: fast\\nVersion: 1\\n")
        archive.writestr("fast-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: py3-none-any\\n")
        archive.writestr("fast-1.dist-info/RECORD", "")
    return "fast-1-py3-none-any.whl"
'''


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    settings = Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", uv_offline=True)
    settings.data_dir.mkdir()
    return settings


@pytest.fixture
async def jail(settings: Settings) -> AsyncIterator[Jail]:
    with child_subreaper():
        yield await make_jail(settings)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "fast").mkdir(parents=True)
    (folder / "fast" / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "fast"\nversion = "1"\n'
    )
    (folder / "fast" / "backend.py").write_text(BACKEND)
    write_wheel(folder, "uvicorn", "99.0")
    (folder / "requirements.txt").write_text("./uvicorn-99.0-py3-none-any.whl\n./fast\n")
    return folder


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("minor", [11, 12])
async def test_an_extension_module_finds_the_headers_of_its_python(
    settings: Settings, jail: Jail, project: Path, minor: int
) -> None:
    found = await find_installed([minor])
    if found is None:
        pytest.skip(f"Python 3.{minor} is not installed")
    wanted = settings.model_copy(update={"environment_python": found.interpreter.request})
    said = Said()
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(wanted, jail).open_environment(EnvironmentRequest(project), said) as found_here:
            argv = [str(found_here.python), "-c", "import fast; print(fast.answer())"]
            result = await trio.run_process(argv, capture_stdout=True)
    assert result.stdout == b"42\n"


def cannot_be_built(folder: Path, name: str, version: str) -> None:
    """Put a source package into the folder whose build fails while the file ``broken`` exists."""
    with tarfile.open(folder / f"{name}-{version}.tar.gz", "w:gz") as archive:
        files = {
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            f'[project]\nname = "{name}"\nversion = "{version}"\n',
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            "backend.py": BACKEND.replace("fast", name).replace(
                "    command =", f"    assert not pathlib.Path({str(folder / 'broken')!r}).exists()\n    command ="
            ),
        }
        for file, text in files.items():
            info = tarfile.TarInfo(f"{name}-{version}/{file}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))


async def has_quick(settings: Settings, project: Path, *, jail: Jail | None = None) -> bool:
    """Whether the project's environment has the package."""
    request = EnvironmentRequest(project)
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings, jail).open_environment(request, Said()) as found:
            return any(found.directory.glob("lib/python*/site-packages/quick*.dist-info"))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
async def test_what_one_builder_could_not_build_is_built_by_another(
    settings: Settings, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "broken").touch()
    cannot_be_built(packages, "quick", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(packages))
    (project / "requirements.txt").write_text("./uvicorn-99.0-py3-none-any.whl\nquick==1\n")
    assert not await has_quick(settings, project)
    (packages / "broken").unlink()
    assert not await has_quick(settings, project)
    monkeypatch.setattr(environment, "_version", lambda: "99")
    assert await has_quick(settings, project)
    assert await has_quick(settings, project)
