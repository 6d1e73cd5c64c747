"""Find the runtime that a package needs: Node, or Bun; others are refused. Node serves what others serve, if it can."""

from __future__ import annotations

import re
from typing import Final

from preview.detection.node.project import NodeProject
from preview.errors import InvalidGeneration
from preview.sources.node_scripts import split_commands

BUN: Final = "1.4.5"
"""The version of Bun for projects that name none, or an open range (``>=1.1``, ``^1``)."""

# What only Bun has.
_BUN_OWN: Final = re.compile(
    r"\bBun\.(?!env\b)\w+|['\"](?:bun(?::\w+)?|(?:hono|drizzle-orm)/bun[\w/-]*)['\"]|\bimport\.meta\.(?:dir|file|path)\b"
)
# Files and packages that only projects for Bun have.
_BUN_FILES: Final = ("bun.lock", "bun.lockb", "bunfig.toml")
_BUN_TYPES: Final = ("@types/bun", "bun-types", "bun")
_NODE: Final = frozenset(
    {"node", "nodemon", "tsx", "ts-node", "ts-node-esm", "ts-node-dev", "tsnd", "pm2", "nest", "npx"}
    # Programs on Node that serve what a file exports.
    | {"fastify", "next", "vite", "nitro", "srvx", "listhen", "vercel", "serverless", "sls"}
)
_EXACT: Final = re.compile(r"v?([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})")
_CLOSED: Final = re.compile(r"~?[0-9]{1,3}\.[0-9]{1,3}(?:\.(?:x|[0-9]{1,3}))?")
# What only these runtimes have.
_OWN: Final = {
    "deno": re.compile(r"\bDeno\.(?!env\b)\w+|from\s+['\"](?:jsr:|npm:|https://)"),
    # Cloudflare's Workers: modules and storage that only they have.
    "wrangler": re.compile(
        r"['\"]cloudflare:\w+['\"]|['\"]drizzle-orm/d1['\"]"
        r"|\b(?:D1Database|KVNamespace|R2Bucket|DurableObject(?:Namespace|State)?)\b"
    ),
}
_SCRIPTS: Final = ("dev", "start", "serve", "start:dev", "preview")
# A server object that the runtime itself serves: `export default { port, fetch }`, `export default app`.
_EXPORTS_SERVER: Final = re.compile(r"\bexport\s+default\s+(?:\{[\s\S]{0,400}?\bfetch\b|\w+\s*;?\s*$)", re.MULTILINE)
_LISTENS: Final = re.compile(r"\.listen\s*\(|createServer\s*\(|\bserve\s*\(")


def refuse_runtime(project: NodeProject) -> None:
    """Refuse a package whose script starts another runtime than Node, and whose sources need that runtime.

    Raises:
        InvalidGeneration: Node cannot run the sources.
    """
    programs = _programs(project)
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


def needs_bun(project: NodeProject) -> str | None:
    """Return why only Bun can run the sources, in half a sentence; None if Node can, or if the scripts start Node."""
    programs = _programs(project)
    is_marked = project.find(*_BUN_FILES) is not None or project.requires(*_BUN_TYPES)
    if "bun" in programs or (is_marked and not programs & _NODE):
        return _needs(project, "bun", _BUN_OWN)
    return None


def bun_requirement(project: NodeProject) -> str:
    """Return the requirement for Bun, in the version that the project names."""
    engines = project.package.data.get("engines")
    manager = [str(item.data.get("packageManager", "")) for item in (project.package, *project.packages[:1])]
    written = project.find(".bun-version")
    texts = (
        *(text.partition("bun@")[2].partition("+")[0] for text in manager),
        project.text(written).strip() if written is not None else "",
        str(engines.get("bun", "")) if isinstance(engines, dict) else "",
        project.range_of("bun") or "",
    )
    for text in filter(None, texts):
        if (exact := _EXACT.fullmatch(text)) is not None:
            return f"bun@{exact[1]}"
        if _CLOSED.fullmatch(text) is not None:
            return f"bun@{text}"
    return f"bun@{BUN}"


def exports_server(project: NodeProject) -> bool:
    """Return True if the entry only exports a Hono application, which its runtime serves."""
    entry = project.text(project.entry.file)
    return (
        not project.entry.built
        and project.requires("hono")
        and _EXPORTS_SERVER.search(entry) is not None
        and not any(_LISTENS.search(project.text(file)) for file in project.reached)
    )


def _programs(project: NodeProject) -> set[str]:
    """Return the programs of the script that names the entry; of all usual scripts, if none names it."""
    scripts = project.package.scripts
    named = re.search(r'"([^"]+)"', project.entry.by)
    names = [named[1]] if named is not None and named[1] in scripts else _SCRIPTS
    return {command[0].rpartition("/")[2] for name in names for command in split_commands(scripts.get(name, ""))}


def _needs(project: NodeProject, runtime: str, own: re.Pattern[str]) -> str | None:
    """Return why only this runtime can run the sources, in half a sentence; None if Node can."""
    for file in project.reached:
        match = own.search(project.text(file))
        if match is not None:
            return f"{file} uses {match[0].strip(chr(34) + chr(39))}"
    entry = project.text(project.entry.file)
    if runtime == "bun" and project.requires("elysia") and not project.requires("@elysiajs/node"):
        return "Elysia listens on Node only with the package @elysiajs/node"
    if exports_server(project):
        return None
    if _EXPORTS_SERVER.search(entry) and not any(_LISTENS.search(project.text(file)) for file in project.reached):
        return f"{project.entry.file} exports its server and does not listen"
    return None
