"""Explanation of uv's errors in one sentence that names the requirement."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import NoReturn

from packaging.utils import canonicalize_name

from preview.core.quoting import clipped, in_words
from preview.environments.python.causes import LONGEST_SENTENCE, cause_of, without_paths
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet
from preview.environments.sandbox.program import ProgramResult
from preview.errors import EnvironmentFailed

_NETWORK = re.compile(
    r"error sending request|Request failed after|Could not connect|tcp connect error|dns error"
    r"|failed to lookup address|Network is unreachable|operation timed out|connection (?:refused|reset)",
    re.IGNORECASE,
)
_DISK = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)
_OFFLINE = re.compile(r"network (?:was|is) disabled|no network connectivity|offline", re.IGNORECASE)


# uv refuses to build a package because of --no-build.
_DENIED = re.compile(
    r"Building source distributions for `(?P<one>[A-Za-z0-9._-]+)` is disabled"
    r"|Building source distributions is disabled, but attempted to build `(?P<two>[A-Za-z0-9._-]+)`"
    r"|Wheels are required for `(?P<three>[A-Za-z0-9._-]+)` because building from source is disabled"
)
_BECAUSE = re.compile(r"Because (?:only )?(?P<name>[A-Za-z0-9._-]+)")
_FAILED_PACKAGE = re.compile(r"Failed to (?:download|build|fetch)[: ]+`?(?P<name>[A-Za-z0-9._-]+)(?:==| @ |`)")
_ENDLESS = re.compile(r"\S{2000,}")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What uv says of a contradiction; what it concludes repeats it.
_CLAIM = re.compile(r"(?:(?P<who>\S{1,200}) depends? on|(?<!conclude that )you require) (?P<what>[A-Za-z0-9]\S{0,200})")
# uv's last conclusion, if two of the project's own requirements exclude each other.
_BOTH = re.compile(
    r"because you require (?P<one>[A-Za-z0-9]\S{0,200}) and (?P<other>[A-Za-z0-9]\S{0,200}), "
    r"we can conclude that (?:your|the) requirements are unsatisfiable"
)
# Two of them with their places, and a cause, go into one sentence.
_LONGEST_NAME = 48
_MOST_NAMES = 4
_MOST_CLAIMS = 60
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,100}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class _Claim:
    """One requirement of a package, or of the project if ``who`` is empty."""

    who: str
    what: str

    @property
    def package(self) -> str:
        match = _PLAIN.match(self.what)
        return canonicalize_name(match[0]) if match else ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of a failed build.

    Attributes:
        message: One sentence for a person.
        reason: ``not_found``, ``no_version``, ``conflict``, ``build``, ``hash``, ``download``, ``network``, ``disk``,
            ``offline``, ``denied``, ``host`` (builds may not reach the host), ``python`` or ``other``.
        requirement: The line at fault as the project writes it, or the package's name; None if unknown.
        origin: Where the project names the requirement; None if unknown.
        package: The package's normalised name; None if unknown.
    """

    message: str
    reason: str
    requirement: str | None = None
    origin: str | None = None
    package: str | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """Pattern of one of uv's errors; group ``name`` is the package."""

    pattern: re.Pattern[str]
    reason: str
    sentence: Callable[[re.Match[str], str, str], str]


def _python(match: re.Match[str], what: str, _text: str) -> str:
    return f"{what} needs Python {match['python']}; choose a version that supports the Python of previews"


def _build(_match: re.Match[str], what: str, text: str) -> str:
    printed = text.partition("[stderr]")[2]
    cause = (printed and cause_of(printed)) or cause_of(text)
    because = f" ({cause.said})" if cause else ""
    remedy = f", or {cause.remedy}" if cause and cause.remedy else ""
    return f"{what} could not be built{because}; choose a version or a package that has a wheel for this Python{remedy}"


_CASES = (
    _Case(
        re.compile(r"Hash mismatch for `(?P<name>[A-Za-z0-9._-]+)"),
        "hash",
        lambda _match, what, _text: f"{what} does not match the recorded hash; correct the hash",
    ),
    _Case(re.compile(r"Failed to (?:download and )?build `(?P<name>[A-Za-z0-9._-]+)"), "build", _build),
    _Case(re.compile(r"(?P<name>)The build backend returned an error"), "build", _build),
    _Case(
        re.compile(
            r"(?<![A-Za-z0-9._-])(?P<name>[A-Za-z0-9._-]+) was not found in the (?:package registry|cache|provided)"
        ),
        "not_found",
        lambda _match, what, _text: f"{what} was not found in the package index; check the spelling",
    ),
    _Case(
        re.compile(
            r"(?<![^\s(])(?P<name>[A-Za-z0-9._-]{1,200})\S{0,200} depends on Python(?P<python>[<>=!~]\S{0,200}[^\s,.])"
        ),
        "python",
        _python,
    ),
    _Case(
        re.compile(
            # Not "Read-only file system".
            r"(?:there (?:is|are) no versions? of|(?<![\w-])[Oo]nly(?: the following versions of)?)"
            r" (?P<name>[A-Za-z0-9._-]+)"
        ),
        "no_version",
        lambda _match, what, _text: f"No version matches {what}; choose one that exists",
    ),
    _Case(
        re.compile(r"(?<![^\s(])(?P<name>[A-Za-z0-9._-]{1,200})\S{0,200} ha(?:s|ve) no (?:usable )?wheels?"),
        "no_version",
        lambda _match, what, _text: f"{what} has no wheel for this Python and platform; choose another version",
    ),
    _Case(re.compile(r"error: Failed to [a-z ]+`(?P<name>[A-Za-z0-9._-]+)==[^`]*`"), "build", _build),
    _Case(
        re.compile(r"(?:D|d)istribution not found at: (?P<name>\S*)"),
        "not_found",
        lambda _match, what, _text: f"{what} does not exist; correct the address",
    ),
)


def explain(
    lines: Sequence[str],
    required: RequirementSet,
    *,
    offline: bool,
    runs_code: bool = True,
    refused: Sequence[str] = (),
) -> Explanation:
    """Explain a failure from the installer's output."""
    why = with_refused(_explain(lines, required, offline=offline, runs_code=runs_code), refused)
    return replace(why, message=clipped(without_paths(why.message), LONGEST_SENTENCE))


def with_refused(why: Explanation, refused: Sequence[str]) -> Explanation:
    """Mention the refused host if it is, or may be, the cause."""
    if not refused or why.reason not in {"network", "download", "build", "other"}:
        return why
    sentence = f"{refused[0]}; the service's operator can add it to PREVIEW_BUILD_HOSTS"
    if why.reason == "build":
        return replace(why, message=f"{why.message.rpartition('; ')[0] or why.message}, and {sentence}")
    what = f"{_short(why.requirement)} ({why.origin}): " if why.requirement and why.origin else ""
    return replace(why, message=f"{what}{sentence}", reason="host")


def _explain(lines: Sequence[str], required: RequirementSet, *, offline: bool, runs_code: bool) -> Explanation:
    # Shorten longer words, which no name needs: the patterns below take quadratic time in a word's length.
    text = _ENDLESS.sub("…", "\n".join(lines))
    if _DISK.search(text):
        return Explanation("The disk is full: free some space on the service's machine and launch again", "disk")
    # A build's own output may speak of a network too, and another version may need none.
    own = re.split(r"\[std(?:out|err)\]", text, maxsplit=1)[0]
    if offline and _OFFLINE.search(own):
        return _offline(own, required)
    if _NETWORK.search(own):
        return _network(own, required)
    if not runs_code and (match := _DENIED.search(text)):
        return _denied(next(name for name in match.groups() if name is not None), required)
    if (both := _exclusive(own, required)) is not None:
        return both
    for case in _CASES:
        if match := case.pattern.search(text):
            found = required.find(match["name"]) if match["name"] else _folder_in(text, required)
            sentence = case.sentence(match, _name(found, match["name"]), text)
            return _explanation(sentence, case.reason, found, match["name"])
    return _conflict(text, required) or Explanation(
        f"The environment could not be built: {_error_line(lines)}; see the lines above", "other"
    )


def _name(found: ProjectRequirement | None, name: str) -> str:
    if found is None:
        return clipped(name, _LONGEST_NAME) or "A requirement"
    # Hide the service's folders: show the last part only.
    text = found.text.rpartition("/")[2] if found.text.startswith("/") else _short(found.text)
    return f"{clipped(text, _LONGEST_NAME)} ({clipped(found.origin, _LONGEST_NAME)})"


def _short(text: str) -> str:
    """Return a requirement without its hashes and its condition."""
    return text.partition(" --hash")[0].partition(";")[0].rstrip()


def _folder_in(text: str, required: RequirementSet) -> ProjectRequirement | None:
    """Return the local folder that the message is about: installers name only its path, if anything."""
    folders = [item for item in required.requirements if item.name is None]
    spoken_of = [item for item in folders if item.location is not None and item.location in text]
    return next(iter(spoken_of), folders[0] if len(folders) == 1 else None)


def _explanation(sentence: str, reason: str, found: ProjectRequirement | None, name: str) -> Explanation:
    package = (found.name if found else None) or (canonicalize_name(name) if _PLAIN.fullmatch(name) else None)
    return Explanation(
        sentence, reason, found.text if found else name or None, found.origin if found else None, package
    )


def _spoken_of(pattern: re.Pattern[str], text: str, required: RequirementSet) -> tuple[str, ProjectRequirement | None]:
    match = pattern.search(text)
    return (match["name"], required.find(match["name"])) if match else ("", None)


def _offline(text: str, required: RequirementSet) -> Explanation:
    name, found = _spoken_of(_BECAUSE, text, required)
    return _explanation(
        f"{_name(found, name)} is not in the package cache and the service works offline (PREVIEW_UV_OFFLINE); "
        "install it once while it is online",
        "offline",
        found,
        name,
    )


def _network(text: str, required: RequirementSet) -> Explanation:
    name, found = _spoken_of(_FAILED_PACKAGE, text, required)
    sentence = (
        f"{_name(found, name)} could not be downloaded, the network does not answer"
        if name
        else "The package index cannot be reached, and the package cache does not hold all that is required"
    )
    return _explanation(f"{sentence}; check the network and launch again", "network", found, name)


def _denied(name: str, required: RequirementSet) -> Explanation:
    found = required.find(name) or next(
        (item for item in required.requirements if item.name is None and item.text.endswith(f"/{name}")), None
    )
    what, advice = _name(found, name), "choose a version that has a wheel for this Python"
    if found is not None and (found.name is None or "file:" in found.text):
        # The path would not help a reader.
        what, advice = f"{name} ({found.origin})", "leave it out of the requirements"
    sentence = (
        f"{what} would have to be built, which runs its code, and PREVIEW_BUILD_CODE=deny does not allow that; "
        f"{advice}, or have the service set to PREVIEW_BUILD_CODE=allow"
    )
    return _explanation(sentence, "denied", found, name)


def _conflict(text: str, required: RequirementSet) -> Explanation | None:
    """Explain contradicting requirements: two claims on one package, at least one of them another package's."""
    flat = " ".join(text.partition("No solution found")[2].split())
    if not flat:
        return None
    claims = [_Claim(match["who"] or "", match["what"].rstrip(",.")) for match in _CLAIM.finditer(flat)][:_MOST_CLAIMS]
    for one, other in permutations(claims, 2):
        if one.who and one.who != other.who and one.package == other.package and one.what != other.what:
            needs = f"{_with_origin(one.who, required)} needs {clipped(one.what, _LONGEST_NAME)}"
            rival = (
                f"{_with_origin(other.who, required)} needs {clipped(other.what, _LONGEST_NAME)}"
                if other.who
                else f"the project requires {_with_origin(other.what, required)}"
            )
            return Explanation(f"{needs}, but {rival}; loosen one of them", "conflict")
    words = {canonicalize_name(word) for word in _WORD.findall(flat)}
    names = dict.fromkeys(item.name for item in required.requirements if item.name in words)
    what = (
        f" ({', '.join(clipped(name, _LONGEST_NAME) for name in list(names)[:_MOST_NAMES] if name)})" if names else ""
    )
    return Explanation(f"The requirements contradict each other{what}; loosen one of them", "conflict")


def _exclusive(text: str, required: RequirementSet) -> Explanation | None:
    """Explain two of the project's requirements that exclude each other by what both of them need; None for others.

    Versions that do not exist are then only a part of uv's proof.
    """
    flat = " ".join(text.partition("No solution found")[2].split())
    match = _BOTH.search(flat)
    if match is None:
        return None
    one, other = (_Claim("", match[group]).package for group in ("one", "other"))
    needed: dict[str, set[str]] = {}
    for _, found in zip(range(_MOST_CLAIMS), _CLAIM.finditer(flat), strict=False):
        who = _Claim("", found["who"] or "").package
        needed.setdefault(_Claim("", found["what"]).package, set()).add(who)
    shared = next((package for package, who in needed.items() if {one, other} <= who), "")
    by = f": both need {clipped(shared, _LONGEST_NAME)}, and no release of it suits both here" if shared else ""
    pair = " and ".join(_with_origin(match[group], required) for group in ("one", "other"))
    return Explanation(f"{pair} exclude each other{by}; loosen one of them, or leave it out", "conflict")


def _with_origin(said: str, required: RequirementSet) -> str:
    """Return a package in uv's words, with the place of its requirement."""
    match = _PLAIN.match(said)
    found = required.find(match[0].rstrip(".")) if match else None
    return clipped(said, _LONGEST_NAME) + (f" ({clipped(found.origin, _LONGEST_NAME)})" if found else "")


def _error_line(lines: Sequence[str]) -> str:
    said = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "uv said nothing")
    return in_words(without_paths(said[0] if said else last)) or "no reason was given"


def fail(result: ProgramResult, why: Explanation) -> NoReturn:
    """Raise the explained failure of the installer.

    Raises:
        EnvironmentFailed: Always.
    """
    raise EnvironmentFailed(
        why.message, reason=why.reason, requirement=why.requirement, origin=why.origin, output=result.tail()
    )
