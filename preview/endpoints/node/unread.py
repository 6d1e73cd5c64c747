"""Node servers whose routes are not read: other frameworks, and servers without any."""

from __future__ import annotations

import re
from typing import Final

from preview.sources import Sources
from preview.sources.javascript import SCRIPT_SUFFIXES
from preview.sources.node_package import NodePackage, find_entry, read_node_packages

_FRAMEWORKS: Final = {
    "@adonisjs/core": "AdonisJS", "sails": "Sails", "@loopback/core": "LoopBack", "@loopback/rest": "LoopBack",
    "@feathersjs/feathers": "Feathers", "@apollo/server": "Apollo Server", "apollo-server": "Apollo Server",
    "apollo-server-express": "Apollo Server", "graphql-yoga": "GraphQL Yoga", "express-graphql": "GraphQL",
    "graphql-http": "GraphQL", "h3": "h3", "nitropack": "Nitro", "micro": "micro", "connect": "Connect",
    "@trpc/server": "tRPC", "moleculer-web": "Moleculer", "egg": "Egg", "@midwayjs/core": "Midway",
    "@tsed/common": "Ts.ED", "@tsed/platform-http": "Ts.ED", "@strapi/strapi": "Strapi", "payload": "Payload",
    "@marblejs/http": "Marble.js", "find-my-way": "find-my-way", "itty-router": "itty-router", "nuxt": "Nuxt",
    "@sveltejs/kit": "SvelteKit", "astro": "Astro", "@remix-run/node": "Remix", "hyper-express": "HyperExpress",
    "uWebSockets.js": "uWebSockets.js", "@keystone-6/core": "Keystone", "parse-server": "Parse Server",
}  # fmt: skip
_READ: Final = {
    "express": "Express", "@nestjs/core": "NestJS", "fastify": "Fastify", "koa": "Koa", "hono": "Hono",
    "elysia": "Elysia", "@hapi/hapi": "hapi", "hapi": "hapi", "restify": "Restify",
}  # fmt: skip
_PLAIN: Final = re.compile(rb"\bcreate(?:Secure)?Server\s*\(|\b(?:Bun|Deno)\.serve\s*\(")
_MAX_PACKAGES: Final = 30
_MAX_FILES: Final = 200
_ASIDE: Final = re.compile(r"(?:^|/)(?:tests?|__tests__|e2e|cypress|examples?|docs)/|\.(?:test|spec)\.")


def unread_frameworks(package: NodePackage) -> list[str]:
    """Return the frameworks that a package requires and whose routes are not read."""
    return list(dict.fromkeys(name for required, name in _FRAMEWORKS.items() if required in package.dependencies))


def find_unread_servers(sources: Sources) -> tuple[str, ...]:
    """Return a sentence for each Node server of a project in which no application was found."""
    found: dict[str, None] = {}
    for package in read_node_packages(sources)[:_MAX_PACKAGES]:
        for sentence in _sentences(package, sources):
            found[sentence] = None
    if not found and not sources.has_file("package.json"):
        found = dict.fromkeys(_plain(".", sources))
    return tuple(found)


def _sentences(package: NodePackage, sources: Sources) -> list[str]:
    where = "" if package.folder == "." else f" ({package.folder})"
    names = unread_frameworks(package)
    if names:
        return [f"the routes of {name} are not read{where}" for name in names]
    known = [name for required, name in _READ.items() if required in package.dependencies]
    if known and find_entry(package, sources) is not None:
        return [f"no application of {known[0]} was found{where}"]
    return _plain(package.folder, sources)


def _plain(folder: str, sources: Sources) -> list[str]:
    prefix = "" if folder == "." else f"{folder}/"
    names = [name for name in sources.with_suffix(*SCRIPT_SUFFIXES) if name.startswith(prefix)]
    names = [name for name in names if not _ASIDE.search(name)][:_MAX_FILES]
    found = next((name for name in names if _PLAIN.search(sources.text(name))), None)
    return [f"{found}: a server without a framework is not read"] if found is not None else []
