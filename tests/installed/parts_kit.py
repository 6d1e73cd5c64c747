"""Parts that installations are made of: a Debian of debootstrap's, and wheels. Both are fetched once.

`PREVIEW_TEST_PARTS=FOLDER` keeps them for the next run; without it each run fetches them again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RELEASE = "bookworm"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# What a preview of `examples/hello` needs beside its requirements.
_EXTRA = ("hatchling", "uv", "uvicorn", "httptools", "uvloop", "websockets")


def needed(*programs: str) -> None:
    """Skip the test where a program is missing; these tests are root's."""
    if os.geteuid() != 0:
        pytest.skip("an installation is root's")
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no installation without {', '.join(missing)}")


@contextmanager
def parts_folder() -> Iterator[Path]:
    """The folder of parts."""
    kept = os.environ.get("PREVIEW_TEST_PARTS")
    if kept is not None:
        Path(kept).mkdir(parents=True, exist_ok=True)
        yield Path(kept)
        return
    with tempfile.TemporaryDirectory(prefix="preview-parts-") as folder:
        yield Path(folder)


def debian(parts: Path, name: str, packages: Sequence[str]) -> Path:
    """A Debian with these packages, as an archive. No service of theirs was started."""
    archive, tree = parts / f"{name}.tar", parts / f"{name}.root"
    if not archive.exists():
        shutil.rmtree(tree, ignore_errors=True)
        subprocess.run(["debootstrap", "--variant=minbase", RELEASE, tree], check=True)
        reach_packages(tree)
        refusal = tree / "usr/sbin/policy-rc.d"
        refusal.write_text("#!/bin/sh\nexit 101\n")
        refusal.chmod(0o755)
        alone = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
        for command in (["apt-get", "update"], install):
            subprocess.run(["chroot", str(tree), *command], env=alone, check=True)
        refusal.unlink()
        draft = parts / f"{name}.part"
        pack = ["tar", "--create", "--file", str(draft), "--directory", str(tree)]
        subprocess.run([*pack, "--exclude=./var/cache/apt/archives/*.deb", "."], check=True)
        draft.rename(archive)
        shutil.rmtree(tree)
    return archive


def reach_packages(tree: Path) -> None:
    """Let a Debian reach packages as this machine does: by its certificates, and its settings of apt."""
    (tree / CERTIFICATES.strip("/")).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(CERTIFICATES, tree / CERTIFICATES.strip("/"))
    shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
    for source in Path("/etc/apt/apt.conf.d").glob("99*"):
        shutil.copy(source, tree / "etc/apt/apt.conf.d")


def wheels(parts: Path) -> Path:
    """A folder with the wheels of the service, and of what the test's previews need."""
    folder, draft = parts / "wheels", parts / "wheels.part"
    if not folder.exists():
        wanted = parts / "wanted.txt"
        export = ["uv", "export", "--quiet", "--no-dev", "--no-hashes", "--no-emit-project", "--output-file"]
        subprocess.run([*export, str(wanted)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        # An environment of uv's has no pip. The wheels are for Debian's Python.
        fetch = ["uv", "tool", "run", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version=3.11"]
        subprocess.run([*fetch, f"--dest={draft}", f"--requirement={wanted}", *_EXTRA], check=True)
        hello = ROOT / "examples" / "hello" / "requirements.txt"
        subprocess.run([*fetch, f"--dest={draft}", f"--requirement={hello}"], check=True)
        draft.rename(folder)
    return folder


def checkout(target: Path) -> None:
    """Copy what a build of the package needs."""
    target.mkdir()
    for one in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / one, target)
    for one in ("preview", "examples", "deploy"):
        shutil.copytree(ROOT / one, target / one, ignore=shutil.ignore_patterns("__pycache__"))
