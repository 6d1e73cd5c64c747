"""Pin every package of the project and its tools to one version, or check that the environment has just these.

    uv run python scripts/pin.py            resolve anew and write the pins into pyproject.toml
    uv run python scripts/pin.py --check    end with 1 if the environment or the resolution differs from them

The pins are `[tool.uv] constraint-dependencies`: names and versions, and nothing about where they come from.
`uv.lock` would name a host for each package and stays out of git.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
BEGIN = "# Pins, written by scripts/pin.py: every package, direct or not, in one version.\n"
# Previews need Linux, so nothing else is resolved for; and not all packages have wheels for Pythons to come.
HEAD = f"{BEGIN}[tool.uv]\nenvironments = [\"sys_platform == 'linux' and python_full_version < '3.15'\"]\n"
BLOCK = re.compile(re.escape(BEGIN) + r"\[tool\.uv\]\n.*?^\]\n", re.MULTILINE | re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pins, or check them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    if parser.parse_args(arguments).check:
        return check()
    text = PYPROJECT.read_text(encoding="utf-8")
    base = f"{BLOCK.sub('', text).rstrip()}\n\n{HEAD}"
    # Without the old pins, and without what an earlier resolution chose: the newest that the dependencies allow.
    PYPROJECT.write_text(base, encoding="utf-8")
    try:
        pins = sorted({pin(one) for one in resolve("--upgrade")})
    except BaseException:
        PYPROJECT.write_text(text, encoding="utf-8")
        raise
    lines = "".join(f'    "{one}",\n' for one in pins)
    PYPROJECT.write_text(f"{base}constraint-dependencies = [\n{lines}]\n", encoding="utf-8")
    print(f"{len(pins)} packages pinned; now: uv sync")
    return 0


def resolve(*options: str) -> list[Requirement]:
    """Return the whole closure, each package in one version, with the marker for where it is needed."""
    command = ["uv", "export", "--all-groups", "--no-hashes", "--no-emit-project", "--no-header", "--no-annotate"]
    done = subprocess.run([*command, *options], cwd=PYPROJECT.parent, stdout=subprocess.PIPE, text=True, check=True)
    lines = (line.strip() for line in done.stdout.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def pin(requirement: Requirement) -> str:
    """As a constraint: without the marker, because a constraint asks for nothing by itself."""
    return f"{requirement.name}{requirement.specifier}"


def check() -> int:
    """Compare pins, resolution and what is installed; say each difference."""
    settings = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    pins = set(settings.get("tool", {}).get("uv", {}).get("constraint-dependencies", []))
    needed = resolve()
    problems = [f"{pin(one)}: needed, but not pinned; run scripts/pin.py" for one in needed if pin(one) not in pins]
    problems += filter(None, map(difference, needed))
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(pins)} packages as pinned")
    return 1 if problems else 0


def difference(needed: Requirement) -> str | None:
    """Return the fault of one package's installed version, if any."""
    if needed.marker is not None and not needed.marker.evaluate():
        return None
    try:
        installed = version(needed.name)
    except PackageNotFoundError:
        return f"{pin(needed)}: not installed; run uv sync"
    if needed.specifier.contains(installed, prereleases=True):
        return None
    return f"{pin(needed)}: {installed} is installed; run uv sync"


if __name__ == "__main__":
    sys.exit(main())
