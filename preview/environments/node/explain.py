"""Explanation of npm's errors in one sentence that names the package."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from preview.environments.node.manifest import NodeManifest
from preview.environments.python.explain import Explanation

_NETWORK: Final = frozenset(
    {"ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "ENETUNREACH", "ERR_SOCKET_TIMEOUT",
     "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "E502", "E503", "E504"}
)  # fmt: skip
_CODE: Final = re.compile(r"^npm (?:error|ERR!) code (\S+)", re.MULTILINE)
_PATH: Final = re.compile(r"^npm (?:error|ERR!) path \S*?/node_modules/(\S+)", re.MULTILINE)
_NAMED: Final = r"(?P<name>(?:@[^\s/@'\"]+/)?[^\s@'\"/]+)"
_MISSING: Final = re.compile(rf"404\s+'?{_NAMED}@\S*'? (?:is not in this registry|could not be found)", re.MULTILINE)
_MISSING_AT: Final = re.compile(
    r"404 Not Found - GET \S*?/(?P<name>(?:@[^\s/]+(?:/|%2f))?[^\s/]+?)(?:/-/\S*)? ", re.IGNORECASE
)
_NO_VERSION: Final = re.compile(rf"No matching version found for {_NAMED}@", re.MULTILINE)
_CONFLICT: Final = re.compile(r"Could not resolve dependency:\s+(?:npm (?:error|ERR!) )?(?P<why>[^\n]+)", re.MULTILINE)
_INTEGRITY: Final = re.compile(r"integrity checksum failed.*?|EINTEGRITY", re.MULTILINE)
_PROTOCOL: Final = re.compile(r"Unsupported URL Type \"(?P<name>[^\"]+)\"")
_REFUSED: Final = re.compile(r"Refusing to fetch \"(?P<name>[^\"]+)\"")
_PLATFORM: Final = re.compile(rf"Unsupported platform for {_NAMED}@")
_GIT: Final = re.compile(r"(?:ls-remote|clone|fetch) (?:-\S{1,40} ){0,8}(?P<name>(?:ssh|git|https?)://\S{1,300})")
_NATIVE: Final = re.compile(r"gyp ERR!|node-gyp|prebuild|make: \*\*\*|cmake", re.IGNORECASE)
_ERROR_LINE: Final = re.compile(r"^npm (?:error|ERR!) (?!code |errno |A complete log|\s*$)(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Case:
    """Sentence for an error code; the first pattern that matches finds the package's name."""

    codes: frozenset[str]
    reason: str
    patterns: tuple[re.Pattern[str], ...]
    sentence: Callable[[str], str]


_CASES: Final = (
    _Case(
        frozenset({"ENOSPC", "EDQUOT"}),
        "disk",
        (),
        lambda _: "The disk is full: free some space on the service's machine and launch again",
    ),
    _Case(
        frozenset({"ENOTCACHED"}),
        "offline",
        (_MISSING_AT,),
        lambda _: (
            "Not all packages are in npm's cache and the service works offline (PREVIEW_UV_OFFLINE); "
            "install them once with the network"
        ),
    ),
    _Case(
        frozenset({"E404"}),
        "not_found",
        (_MISSING, _MISSING_AT),
        lambda what: f"{what} was not found in the package registry; check the spelling",
    ),
    _Case(
        frozenset({"ETARGET"}),
        "no_version",
        (_NO_VERSION,),
        lambda what: f"No version matches {what}; choose one that exists",
    ),
    _Case(
        frozenset({"EUNSUPPORTEDPROTOCOL"}),
        "invalid",
        (_PROTOCOL,),
        lambda what: f"npm does not understand the address {what}; write a version range",
    ),
    _Case(
        frozenset({"EALLOWGIT"}),
        "denied",
        (_REFUSED,),
        lambda what: (
            f"{what} comes from a Git repository, whose settings can run code, and PREVIEW_BUILD_CODE=deny does not "
            "allow that; take it from the registry, or have the service set to PREVIEW_BUILD_CODE=allow"
        ),
    ),
    _Case(
        frozenset({"128"}),  # git's own exit code
        "git",
        (_GIT,),
        lambda what: (
            f"The Git repository {what} cannot be fetched: it is private, or out of this machine's reach; "
            "take the package from the registry"
        ),
    ),
    _Case(
        frozenset({"EBADPLATFORM"}),
        "platform",
        (_PLATFORM,),
        lambda what: f"{what} does not run on this machine; make it an optional dependency",
    ),
    _Case(
        frozenset({"EINTEGRITY"}),
        "hash",
        (),
        lambda _: "A package does not have the hash that the lock file names; make the lock file again (npm install)",
    ),
    _Case(
        frozenset({"EACCES", "EPERM", "EROFS"}),
        "disk",
        (),
        lambda _: "npm may not write to its cache or the service's; look at PREVIEW_CACHE_DIR and npm's cache folder",
    ),
)


def explain_npm(lines: Sequence[str], manifest: NodeManifest) -> Explanation:
    """Explain a failure from npm's output."""
    text = "\n".join(lines)
    match = _CODE.search(text)
    code = match[1] if match else ""
    if code in _NETWORK:
        return Explanation(
            "The package registry cannot be reached, and npm's cache does not hold all that is required; "
            "check the network and launch again",
            "network",
        )
    for case in _CASES:
        if code in case.codes:
            found = next((hit["name"] for pattern in case.patterns if (hit := pattern.search(text))), "")
            name = found.replace("%2f", "/").replace("%2F", "/")
            return Explanation(
                case.sentence(_named(name, manifest)), case.reason, name or None, _origin(name, manifest)
            )
    if code == "ERESOLVE":
        return _conflict(text)
    return _build(text, manifest) or _other(lines, text, code)


def failed_package(lines: Sequence[str]) -> str | None:
    """Return the package whose own install script failed; None if something else failed."""
    text = "\n".join(lines)
    code, path = _CODE.search(text), _PATH.search(text)
    if path is None or (code is not None and code[1].startswith("E") and code[1] not in {"ELIFECYCLE", "ENOENT"}):
        return None
    return path[1].rpartition("node_modules/")[2].rstrip("/")


def _named(name: str, manifest: NodeManifest) -> str:
    wanted = manifest.range_of(name) if name else None
    if wanted is not None:
        return f"{name}@{wanted} (package.json)"
    return name or "A package"


def _origin(name: str, manifest: NodeManifest) -> str | None:
    return "package.json" if name and manifest.range_of(name) is not None else None


def _conflict(text: str) -> Explanation:
    match = _CONFLICT.search(text)
    why = f": {match['why'].strip()[:300]}" if match else ""
    return Explanation(f"The requirements contradict each other{why}; loosen one of them", "conflict")


def _build(text: str, manifest: NodeManifest) -> Explanation | None:
    name = failed_package(text.splitlines())
    if name is None:
        return None
    native = _NATIVE.search(text) is not None
    advice = (
        "it is compiled for this machine, so use a version with a finished build, or one in plain JavaScript"
        if native
        else "its install script failed, the lines above say why"
    )
    return Explanation(f"{_named(name, manifest)} could not be built: {advice}", "build", name, _origin(name, manifest))


def _other(lines: Sequence[str], text: str, code: str) -> Explanation:
    match = _ERROR_LINE.search(text)
    last = next((line.strip() for line in reversed(lines) if line.strip()), "npm said nothing")
    said = (match[1].strip() if match else last)[:300].rstrip(".:;")
    return Explanation(
        f"The environment could not be built: {said}{f' ({code})' if code else ''}; the lines above say more", "other"
    )
