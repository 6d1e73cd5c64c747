"""Addresses of repositories, as people copy them from a browser. Nothing of them is sent on but checked parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import quote, unquote, urlsplit

from preview.core.quoting import quoted
from preview.errors import InvalidRequest
from preview.people_errors import ImportsOff
from preview.settings import Settings

MOST_ADDRESS: Final = 1024
"""Characters of an address."""

_OWNER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
# A part of a branch's or tag's name. git-check-ref-format(1) allows more; these are what names really have.
_REF_PART: Final = re.compile(r"[A-Za-z0-9_@+=#-][A-Za-z0-9._@+=#-]{0,199}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TAKEN: Final = frozenset({"tree", "commit"})
# A branch's name may have slashes, and the address does not say where the folder begins.
_MOST_REF_PARTS: Final = 4
_NEWEST: Final = "HEAD"
# Characters of a generation's name.
_MOST_TITLE: Final = 256


@dataclass(frozen=True, slots=True)
class Site:
    """The GitHub that repositories are imported from.

    Attributes:
        pages: Address of its pages, without a slash at the end: ``https://github.com``.
        archives: Address of its archives: ``https://codeload.github.com``.
    """

    pages: str
    archives: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the operator's choice.

        Raises:
            ImportsOff: The operator has switched imports off.
        """
        pages = settings.github_url
        if pages == "off":
            raise ImportsOff(
                "This service imports nothing from GitHub (PREVIEW_GITHUB_URL=off); clone the repository and upload it "
                "with `preview push`."
            )
        scheme, _, host = pages.partition("://")
        return cls(pages, settings.github_archives_url or f"{scheme}://codeload.{host}")

    @property
    def host(self) -> str:
        """The host, for people."""
        return self.pages.partition("://")[2]


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, at one branch, tag or commit, and a folder of it.

    Attributes:
        owner: Its owner.
        name: Its name.
        ref: A branch, tag or commit; ``HEAD`` is the newest commit of the default branch.
        folder: Path in the repository; empty for all of it.
    """

    owner: str
    name: str
    ref: str = _NEWEST
    folder: str = ""

    @property
    def full_name(self) -> str:
        """Owner and name."""
        return f"{self.owner}/{self.name}"

    @property
    def title(self) -> str:
        """A name for the project."""
        return self.folder.rpartition("/")[2][:_MOST_TITLE] or self.name

    def page(self, site: Site) -> str:
        """Return the address that a browser opens, which ``parse_address`` reads again."""
        path = f"/{self.owner}/{self.name}"
        if self.ref != _NEWEST or self.folder:
            # A slash in the branch's name is written so that it does not look like a folder.
            path += f"/tree/{quote(self.ref, safe='@+=')}"
        return site.pages + path + (f"/{quote(self.folder)}" if self.folder else "")

    def archive(self, site: Site) -> str:
        """Return the address of its zip archive."""
        return f"{site.archives}/{self.owner}/{self.name}/zip/{quote(self.ref)}"

    def at(self, commit: str) -> Self:
        """Return the same at a commit.

        Raises:
            InvalidRequest: It is not the hash of a commit.
        """
        if not _COMMIT.fullmatch(commit):
            raise InvalidRequest(f"{quoted(commit)} is not a commit; send its 40 hexadecimal digits.", field="commit")
        return replace(self, ref=commit)


def parse_address(text: str, site: Site) -> Sequence[Repository]:
    """Return what an address may mean, the most likely first: a branch's name may have slashes.

    Args:
        text: ``https://github.com/OWNER/NAME``, with ``/tree/REF/FOLDER`` or ``/commit/SHA``; also without the scheme,
            or only ``OWNER/NAME``. A query and a fragment are ignored.
        site: The only host that is accepted.

    Raises:
        InvalidRequest: It is not such an address.
    """
    path = _path_of(text.strip(), site)
    owner, _, rest = path.strip("/").partition("/")
    name, _, rest = rest.partition("/")
    name = name.removesuffix(".git")
    if not _OWNER.fullmatch(owner) or not _NAME.fullmatch(name) or name in {".", ".."}:
        raise _invalid(text, site)
    if not rest:
        return [Repository(owner, name)]
    kind, _, rest = rest.partition("/")
    try:
        parts = [unquote(part, errors="strict") for part in rest.split("/") if part]
    except UnicodeDecodeError as error:
        raise _invalid(text, site) from error
    found = [] if kind not in _TAKEN or (kind == "commit" and len(parts) > 1) else _meanings(owner, name, parts)
    if not found:
        raise _invalid(text, site)
    # It is stored as a browser writes it, where a letter may take up to twelve characters, and is read again.
    if any(len(one.page(site)) > MOST_ADDRESS for one in found):
        raise InvalidRequest(
            f"The address has more than {MOST_ADDRESS} characters as a browser writes it; clone the repository, and "
            "upload the folder with `preview push`.",
            field="url",
        )
    return found


def _meanings(owner: str, name: str, parts: Sequence[str]) -> list[Repository]:
    """Return the ways to read a branch and a folder; none if there is a part that neither can have."""
    if any(part in {".", ".."} or "\\" in part or not part.isprintable() for part in parts):
        return []
    if any("/" in part for part in parts[1:]):
        return []
    if parts and "/" in parts[0]:
        is_ref = all(_REF_PART.fullmatch(one) for one in parts[0].split("/"))
        return [Repository(owner, name, parts[0], "/".join(parts[1:]))] if is_ref else []
    found: list[Repository] = []
    for count in range(1, min(len(parts), _MOST_REF_PARTS) + 1):
        if not _REF_PART.fullmatch(parts[count - 1]):
            break
        found.append(Repository(owner, name, "/".join(parts[:count]), "/".join(parts[count:])))
    return found


def _path_of(text: str, site: Site) -> str:
    """Return the path of an address on the site."""
    if len(text) > MOST_ADDRESS or not text.isprintable():
        raise _invalid(text[:MOST_ADDRESS], site)
    if "://" not in text and not text.lower().startswith(f"{site.host}/"):
        # OWNER/NAME
        return text.partition("?")[0].partition("#")[0]
    try:
        found = urlsplit(text if "://" in text else f"{site.pages.partition('://')[0]}://{text}")
    except ValueError as error:
        raise _invalid(text, site) from error
    if found.scheme.lower() not in {"https", "http"} or found.netloc.lower().removeprefix("www.") != site.host:
        raise _invalid(text, site)
    return found.path


def _invalid(text: str, site: Site) -> InvalidRequest:
    return InvalidRequest(
        f"{quoted(text)} is not the address of a repository here; write {site.pages}/OWNER/NAME, or with a branch and "
        "a folder /OWNER/NAME/tree/BRANCH/FOLDER.",
        field="url",
    )
