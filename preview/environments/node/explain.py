"""Explanation of npm's errors in one sentence that names the package."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from preview.core.quoting import clipped, in_words
from preview.environments.node.manifest import BUN_PACKAGES, NodeManifest
from preview.environments.python.causes import LONGEST_SENTENCE, cause_of, without_paths
from preview.environments.python.explain import Explanation

_NETWORK: Final = frozenset(
    {"ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "ENETUNREACH", "ERR_SOCKET_TIMEOUT",
     "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "E502", "E503", "E504"}
)  # fmt: skip
_CODE: Final = re.compile(r"^npm (?:error|ERR!) code (\S+)", re.MULTILINE)
_PATH: Final = re.compile(r"^npm (?:error|ERR!) path \S*?/node_modules/(\S+)", re.MULTILINE)
_FOLDER: Final = re.compile(r"gyp ERR! cwd \S*?/node_modules/(\S+)")
_PACKAGE: Final = re.compile(r"^npm (?:error|ERR!) path \S*/node_modules/(?P<name>(?:@[^\s/]+/)?[^\s/]+)", re.MULTILINE)
_HOST: Final = re.compile(r"request to \w{1,10}://(?P<name>[\w.-]{1,60})")
# npm's part of a line; a script's own output follows it too.
_PREFIX: Final = re.compile(r"^npm (?:error|ERR!) ?", re.MULTILINE)
_NAMED: Final = r"(?P<name>(?:@[^\s/@'\"]+/)?[^\s@'\"/]+)"
_MISSING: Final = re.compile(
    rf"404\s+(?:The requested resource )?'?{_NAMED}@\S*'? (?:is not in this|could not be found)"
)
_AT: Final = r"(?P<name>(?:@[^\s/]+(?:/|%2f))?[^\s/]+?)(?:/-/\S*)?(?:\s|$)"
_MISSING_AT: Final = re.compile(rf"404 Not Found - GET \S*?/{_AT}", re.IGNORECASE | re.MULTILINE)
_DENIED_AT: Final = re.compile(rf"40[13] [A-Z]\w* - GET \S*?/{_AT}", re.IGNORECASE | re.MULTILINE)
_NO_VERSION: Final = re.compile(rf"No matching version found for {_NAMED}@", re.MULTILINE)
_NO_RANGE: Final = re.compile(
    r"No matching version found for @?[^\s@]{1,200}@(?P<range>[^\s]{1,80}?)\.?$", re.MULTILINE
)
_FOUND: Final = re.compile(r"Found: (?P<found>[^\s]{1,200})")
_PEER: Final = re.compile(
    r"Could not resolve dependency:\s+(?:npm (?:error|ERR!) )?(?:peer(?:Optional)? |dev |optional )?"
    r"(?P<name>@?[^\s@]{1,200})@\"(?P<range>[^\"\n]{1,500})\" from (?P<who>\S{1,200}|the root project)"
)
_CORRUPT: Final = re.compile(rf"tarball data for {_NAMED}@\S{{1,300}} \(\S{{1,300}}\) seems to be corrupted")
_PROTOCOL: Final = re.compile(r"Unsupported URL Type \"(?P<name>[^\"]+)\"")
_REFUSED: Final = re.compile(r"Refusing to fetch \"(?P<name>[^\"]+)\"")
_PLATFORM: Final = re.compile(rf"Unsupported platform for {_NAMED}@")
_ENGINE: Final = re.compile(rf"Not compatible with your version of node/npm: {_NAMED}@")
_NODE: Final = re.compile(r"Required: .{0,200}?\"node\":\"(?P<wanted>[^\"\n]{1,200})\"")
_INVALID: Final = re.compile(r"Invalid (?:tag|package) name \"[^\"\n]*\" of package \"(?P<name>[^\"\n]{1,300})\"")
_OVERRIDDEN: Final = re.compile(rf"Override for {_NAMED}@")
_FILE: Final = re.compile(r"no such file or directory, \w{1,20} '(?:[^'\n]*/)?(?P<name>[^'/\n]{1,200})'")
_GIT: Final = re.compile(r"(?:ls-remote|clone|fetch) (?:-\S{1,40} ){0,8}(?P<name>(?:ssh|git|https?)://\S{1,300})")
_NATIVE: Final = re.compile(r"gyp ERR!|node-gyp|prebuild|make: \*\*\*|cmake", re.IGNORECASE)
_ERROR_LINE: Final = re.compile(
    r"^npm (?:error|ERR!) (?!code |errno |syscall |path |A complete log|\s*$)(.*)$", re.MULTILINE
)
# Parts of a sentence: two names with their versions, and a cause, go into one.
_LONGEST_NAME: Final = 60
_LONGEST_RANGE: Final = 40
# The patterns take quadratic time in a line's length.
_LONGEST_LINE: Final = 1000


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
            "Not all packages are in npm's cache and the service works offline (PREVIEW_UV_OFFLINE); install them "
            "once while it is online"
        ),
    ),
    _Case(
        frozenset({"E404"}),
        "not_found",
        (_MISSING, _MISSING_AT),
        lambda what: (
            f"{what} cannot be fetched: nothing is at that address, or the service's machine does not reach it; name a "
            "version of the registry"
            if "://" in what
            else f"{what} was not found in the package registry; check the spelling, or name a private package's "
            "registry in .npmrc of the service's user"
        ),
    ),
    _Case(
        frozenset({"E401", "E403", "ENEEDAUTH"}),
        "not_found",
        (_DENIED_AT,),
        lambda what: f"The package registry requires a login for {what}; use a public package",
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
        lambda what: f"npm does not understand {what}; write a version range",
    ),
    _Case(
        frozenset({"EINVALIDTAGNAME", "EINVALIDPACKAGENAME"}),
        "invalid",
        (_INVALID,),
        lambda what: f"{what} is not a package and version that npm can read; correct it in package.json",
    ),
    _Case(
        frozenset({"EOVERRIDE"}),
        "conflict",
        (_OVERRIDDEN,),
        lambda what: (
            f"{what} has another version under overrides in package.json; write the same version in both places"
        ),
    ),
    _Case(
        frozenset({"ENOENT"}),
        "not_found",
        (_FILE,),
        lambda what: f"The file {what}, which a requirement names, does not exist; add it, or correct package.json",
    ),
    _Case(
        frozenset({"ENOTEMPTY", "EEXIST", "EBUSY"}),
        "other",
        (_PACKAGE,),
        lambda what: f"npm could not replace the folder of {what}; launch again",
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
        (_CORRUPT,),
        lambda what: f"{what} does not have the hash that the lock file names; make the lock file again (npm install)",
    ),
    _Case(
        frozenset({"EACCES", "EPERM", "EROFS"}),
        "disk",
        (),
        lambda _: (
            "npm is not allowed to write to its cache or the service's; check PREVIEW_CACHE_DIR and npm's cache folder"
        ),
    ),
)


def explain_npm(lines: Sequence[str], manifest: NodeManifest) -> Explanation:
    """Explain a failure from npm's output."""
    why = _explain("\n".join(line[:_LONGEST_LINE] for line in lines), manifest)
    return replace(why, message=clipped(without_paths(why.message), LONGEST_SENTENCE))


def _explain(text: str, manifest: NodeManifest) -> Explanation:
    match = _CODE.search(text)
    code = match[1] if match else ""
    if code in _NETWORK:
        host = _HOST.search(text)
        return Explanation(
            f"{host['name'] if host else 'The package registry'} cannot be reached, and npm's cache does not hold all "
            "that is required; check the network and launch again",
            "network",
        )
    if code in {"E404", "ETARGET"} and (bun := _bun(text, manifest)) is not None:
        return bun
    for case in _CASES:
        if code in case.codes and (code != "ENOENT" or _FILE.search(text)):
            found = next((hit["name"] for pattern in case.patterns if (hit := pattern.search(text))), "")
            name = found.replace("%2f", "/").replace("%2F", "/")
            if code == "EUNSUPPORTEDPROTOCOL":
                name = _with_protocol(name, manifest) or name
            if case.reason == "no_version" and name and manifest.range_of(name) is None:
                return Explanation(_gone(name, text), case.reason, name)
            return Explanation(
                case.sentence(_named(name, manifest)), case.reason, name or None, _origin(name, manifest)
            )
    if code == "ERESOLVE":
        return _conflict(text)
    if code == "EBADENGINE":
        return _engine(text, manifest)
    return _build(text, manifest) or _other(text, code)


def _bun(text: str, manifest: NodeManifest) -> Explanation | None:
    """Return the sentence for a missing program of Bun; None if another package is missing."""
    name = absent_package(text.splitlines())
    if name is None or not name.startswith(BUN_PACKAGES):
        return None
    version = clipped(manifest.range_of(name) or "", _LONGEST_RANGE)
    return Explanation(
        f"The project needs Bun {version}, and the package registry does not have it for this machine ({name}); name a "
        'version that it has as packageManager in package.json ("bun@1.2.3")',
        "no_version",
        name,
    )


def _gone(name: str, text: str) -> str:
    """Return the sentence for a version that a package requires, and that the registry does not have."""
    match = _NO_RANGE.search(text)
    wanted = f"{name}@{match['range']}" if match else name
    return (
        f"No version matches {wanted}, which another package requires: the registry may have it no longer; set a "
        "version that exists under overrides in package.json, or take a newer version of that package"
    )


def _with_protocol(protocol: str, manifest: NodeManifest) -> str | None:
    """Return the first package that the project requires in this way."""
    required = [
        (name, value)
        for package in manifest.packages.values()
        for kind in ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
        if isinstance(pairs := package.get(kind), Mapping)
        for name, value in pairs.items()
    ]
    return next((str(name) for name, value in required if str(value).startswith(protocol)), None)


def absent_package(lines: Sequence[str]) -> str | None:
    """Return the package that the registry does not have, or not in a version that is wanted; None without one."""
    text = "\n".join(line[:_LONGEST_LINE] for line in lines)
    found = (pattern.search(text) for pattern in (_NO_VERSION, _MISSING, _MISSING_AT))
    return next((match["name"].replace("%2f", "/") for match in found if match), None)


def failed_package(lines: Sequence[str]) -> str | None:
    """Return the package whose own install script failed; None if something else failed."""
    text = "\n".join(line[:_LONGEST_LINE] for line in lines)
    # A compiler's long output may have pushed npm's first lines out; node-gyp names the folder at its end.
    code = _CODE.search(text)
    path = _PATH.search(text) or (_FOLDER.search(text) if code is None else None)
    if path is None or (code is not None and code[1].startswith("E") and code[1] not in {"ELIFECYCLE", "ENOENT"}):
        return None
    return path[1].rpartition("node_modules/")[2].rstrip("/")


def _named(name: str, manifest: NodeManifest) -> str:
    wanted = manifest.range_of(name) if name else None
    if wanted is not None:
        return f"{clipped(name, _LONGEST_NAME)}@{clipped(wanted, _LONGEST_RANGE)} (package.json)"
    return clipped(name, 2 * _LONGEST_NAME) or "A package"


def _origin(name: str, manifest: NodeManifest) -> str | None:
    return "package.json" if name and manifest.range_of(name) is not None else None


def _conflict(text: str) -> Explanation:
    peer, found = _PEER.search(text), _FOUND.search(text)
    if peer is None:
        return Explanation("The requirements contradict each other; loosen one of them", "conflict")
    wanted = f"{clipped(peer['name'], _LONGEST_NAME)}@{clipped(peer['range'], _LONGEST_RANGE)}"
    who = "the project" if peer["who"].startswith("the") else clipped(peer["who"], _LONGEST_NAME)
    rival = f", but {clipped(found['found'], _LONGEST_NAME)} is required too" if found else ""
    return Explanation(
        f"The requirements contradict each other: {who} needs {wanted}{rival}; change one of the versions", "conflict"
    )


def _engine(text: str, manifest: NodeManifest) -> Explanation:
    hit, node = _ENGINE.search(text), _NODE.search(text)
    name = hit["name"] if hit else ""
    wanted = f"Node {clipped(node['wanted'], _LONGEST_NAME)}" if node else "another Node"
    sentence = f"{_named(name, manifest)} needs {wanted}, and previews have another one; choose a version for this Node"
    return Explanation(sentence, "no_version", name or None, _origin(name, manifest))


def _build(text: str, manifest: NodeManifest) -> Explanation | None:
    name = failed_package(text.splitlines())
    if name is None:
        return None
    native = _NATIVE.search(text) is not None
    cause = cause_of(_PREFIX.sub("", text))
    said = f" ({cause.said})" if cause else " (its install script failed)"
    advice = (
        "choose a version with a prebuilt binary, or one in plain JavaScript" if native else "choose another version"
    )
    remedy = f", or {cause.remedy}" if cause and cause.remedy else ""
    sentence = f"{_named(name, manifest)} could not be built{said}; {advice}{remedy}"
    return Explanation(sentence, "build", name, _origin(name, manifest))


def _other(text: str, code: str) -> Explanation:
    match = _ERROR_LINE.search(text)
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "npm said nothing")
    said = in_words(without_paths(match[1].strip() if match else last)) or "no reason was given"
    return Explanation(
        f"The environment could not be built: {said}{_in_brackets(code)}; see the lines above",
        "other",
    )


def _in_brackets(code: str) -> str:
    return f" ({clipped(code, _LONGEST_NAME)})" if code else ""
