"""Refuse packages that only another runtime than Node can run."""

from __future__ import annotations

import re
from typing import Final

from preview.detection.node.project import NodeProject
from preview.errors import InvalidGeneration
from preview.sources.node_scripts import split_commands

# What only these runtimes have.
_OWN: Final = {
    "bun": re.compile(r"\bBun\.(?!env\b)\w+|['\"]bun(?::\w+)?['\"]"),
    "deno": re.compile(r"\bDeno\.(?!env\b)\w+|from\s+['\"](?:jsr:|npm:|https://)"),
}
# A server object that the runtime itself serves: `export default { port, fetch }`, `export default app`.
_EXPORTS_SERVER: Final = re.compile(r"\bexport\s+default\s+(?:\{[\s\S]{0,400}?\bfetch\b|\w+\s*;?\s*$)", re.MULTILINE)
_LISTENS: Final = re.compile(r"\.listen\s*\(|createServer\s*\(|\bserve\s*\(")


def refuse_runtime(project: NodeProject) -> None:
    """Refuse a package whose script starts another runtime than Node, and whose sources need that runtime.

    Raises:
        InvalidGeneration: Node cannot run the sources.
    """
    named = re.search(r'"([^"]+)"', project.entry.by)
    script = project.package.scripts.get(named[1], "") if named else ""
    programs = {command[0].rpartition("/")[2] for command in split_commands(script)}
    for runtime, own in _OWN.items():
        why = _needs(project, runtime, own) if runtime in programs else None
        if why is not None:
            raise InvalidGeneration(
                f"Cannot launch: package.json starts it with {runtime}, which is not supported, and Node cannot run "
                f"it: {why}. If {runtime} is installed on this machine, say so in preview.toml: "
                f'[start] command = "{runtime} …".',
                reason="unsupported_language",
                language=runtime.capitalize(),
                path=project.entry.file,
            )


def _needs(project: NodeProject, runtime: str, own: re.Pattern[str]) -> str | None:
    """Return why only this runtime can run the sources, in half a sentence; None if Node can."""
    for file in project.reached:
        match = own.search(project.text(file))
        if match is not None:
            return f"{file} uses {match[0].strip(chr(34) + chr(39))}"
    entry = project.text(project.entry.file)
    if runtime == "bun" and project.requires("elysia") and not project.requires("@elysiajs/node"):
        return "Elysia listens on Node only with the package @elysiajs/node"
    if _EXPORTS_SERVER.search(entry) and not any(_LISTENS.search(project.text(file)) for file in project.reached):
        return f"{project.entry.file} exports its server and does not listen"
    return None
