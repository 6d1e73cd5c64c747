"""Bun in an environment: the npm package that contains its program for this machine.

The package ``bun`` has an install script that looks for such a package. None of its code runs here: npm installs the
package with the program, and checks its hash.

Source: https://github.com/oven-sh/bun/blob/main/packages/bun-release/src/platform.ts
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from preview.environments.node.manifest import BUN_PACKAGES, NodeManifest
from preview.environments.sandbox.sweep import read_left
from preview.errors import EnvironmentFailed

_CPU: Final = Path("/proc/cpuinfo")
# One processor's part is about 2 KiB.
_MOST_CPU_BYTES: Final = 64 * 1024
_ARCHITECTURES: Final = {"x64": "x64", "arm64": "aarch64"}
_VERSION: Final = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,4}(?:-[\w.]{1,40})?")
_MOST_BYTES: Final = 64 * 1024


def with_bun(extra: Sequence[str], identity: str) -> tuple[str, ...]:
    """Return the requirements with the package of Bun's program in place of ``bun``. Reads a file: call it in a thread.

    Args:
        extra: Requirements, ``bun@1.2.3`` or others.
        identity: See ``NodeToolchain``.

    Raises:
        EnvironmentFailed: There is no Bun for this machine.
    """
    names = [line.partition("@")[0] for line in extra]
    if "bun" not in names:
        return tuple(extra)
    package = bun_package(identity, has_avx2=_has_avx2())
    return tuple(
        f"{package}{line[len(name) :]}" if name == "bun" else line for name, line in zip(names, extra, strict=True)
    )


def bun_package(identity: str, *, has_avx2: bool) -> str:
    """Return the package with Bun's program for the machine of a Node.

    Args:
        identity: See ``NodeToolchain``.
        has_avx2: The processor has the instructions that all but the "baseline" programs need.

    Raises:
        EnvironmentFailed: There is no such program.
    """
    words = identity.split()
    architecture = next((word for word in words if word in _ARCHITECTURES), None)
    if architecture is None:
        raise EnvironmentFailed(
            f"The project needs Bun, which has no program for this machine ({' '.join(words[2:4])}).", reason="platform"
        )
    musl = "-musl" if "musl" in words else ""
    baseline = "" if has_avx2 or architecture != "x64" else "-baseline"
    return f"{BUN_PACKAGES}linux-{_ARCHITECTURES[architecture]}{musl}{baseline}"


def _has_avx2() -> bool:
    try:
        with _CPU.open("rb") as file:
            return b" avx2" in file.read(_MOST_CPU_BYTES)
    except OSError:
        return False


def _wanted(manifest: NodeManifest) -> str | None:
    dependencies = manifest.packages["."].get("dependencies")
    names = dependencies if isinstance(dependencies, Mapping) else {}
    return next((str(name) for name in names if str(name).startswith(BUN_PACKAGES)), None)


def place_bun(manifest: NodeManifest, binaries: Path) -> None:
    """Link the programs ``bun`` and ``bunx`` to Bun, if the manifest requires it. Blocks on the disk.

    A project may replace the package in its own environment (``overrides``): then code of its choice runs in its place,
    in the same sandbox.

    Raises:
        EnvironmentFailed: The package has no program, or an install script takes its place.
    """
    package = _wanted(manifest)
    if package is None:
        return
    if not (binaries.parent / package / "bin" / "bun").is_file():
        raise EnvironmentFailed(f"The package {package} has no program of Bun; name another version.", reason="other")
    for name in ("bun", "bunx"):
        if (binaries / name).is_dir() and not (binaries / name).is_symlink():
            raise EnvironmentFailed(f"A package makes a folder in place of the program {name}.", reason="other")
        (binaries / name).unlink(missing_ok=True)
        (binaries / name).symlink_to(Path("..", package, "bin", "bun"))


def installed_bun(manifest: NodeManifest, directory: Path) -> str | None:
    """Return the version of the Bun in an environment; None without one. Blocks on the disk."""
    package = _wanted(manifest)
    if package is None:
        return None
    try:
        version = json.loads(read_left(directory / "node_modules" / package / "package.json", _MOST_BYTES))["version"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return version if isinstance(version, str) and _VERSION.fullmatch(version) else ""
