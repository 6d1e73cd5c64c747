"""Imports of repositories: paced, bounded, and unpacked like an upload."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import IO, Final

import trio

from preview.core.quoting import quoted
from preview.generations import GenerationLimits
from preview.github.address import Repository, Site, parse_address
from preview.github.download import Downloader
from preview.people_errors import ImportFailed, RepositoryNotFound, TooFast
from preview.settings import Settings
from preview.together import Paces
from preview.worker import ProjectReader

# A thread writes larger content to disk in one go; for smaller content, memory is cheaper than a thread.
_SPOOL_BYTES: Final = 1024 * 1024
_MINUTE_S: Final = 60
# Seconds that an import waits for those of others: less than a person waits before an empty page.
_MOST_WAIT_S: Final = 10
# The end of a zip archive whose comment is a commit's hash: the record's last field is the comment's length.
_COMMENT: Final = re.compile(rb"PK\x05\x06.{16}(?:\x28\x00([0-9a-f]{40})|\x40\x00([0-9a-f]{64}))\Z", re.DOTALL)
_TAIL_BYTES: Final = 22 + 64
_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Fetched:
    """A repository's files.

    Attributes:
        repository: What the address meant.
        origin: The address, in its normal form.
        commit: The commit; empty if the archive does not tell it.
        files: Content by path, without the archive's top folder.
        notes: Sentences about what is missing.
    """

    repository: Repository
    origin: str
    commit: str
    files: Mapping[str, bytes]
    notes: Sequence[str]

    @property
    def source(self) -> str:
        """Repository and commit, for people: ``github.com/OWNER/NAME@commit``."""
        host = self.origin.partition("://")[2].partition("/")[0]
        folder = f" ({self.repository.folder})" if self.repository.folder else ""
        return f"{host}/{self.repository.full_name}@{self.commit or self.repository.ref}{folder}"


class GithubImporter:
    """Imports public repositories.

    Args:
        settings: The host, and the limits.
        reader: Unpacks the archives.
    """

    def __init__(self, settings: Settings, reader: ProjectReader) -> None:
        self._settings = settings
        self._reader = reader
        per_minute = settings.imports_per_minute
        self._paces = Paces("Imports from GitHub", per_minute / _MINUTE_S, per_minute)
        self._at_once = trio.CapacityLimiter(settings.imports_at_once)
        self._busy: set[str] = set()
        self._downloader: Downloader | None = None

    @property
    def address(self) -> str:
        """Address of the pages that repositories are imported from; empty if imports are off."""
        return "" if self._settings.github_url == "off" else self._settings.github_url

    async def fetch(self, user_id: str, address: str, commit: str = "") -> Fetched:
        """Download a repository and return its files.

        Args:
            user_id: The user, whose imports are paced.
            address: See ``parse_address``.
            commit: Take the files of this commit; empty for what the address names.

        Raises:
            ImportsOff: The operator has switched imports off.
            InvalidRequest: The address or the commit is invalid.
            TooFast: The user imports too often, or has an import in progress; or too many others import.
            RepositoryNotFound: No public repository, branch or folder is at the address.
            ImportFailed: The download failed.
            InvalidGeneration, TooLarge, AnalysisFailed: As for an upload.

        Cancellation: nothing is left.
        """
        site = Site.of(self._settings)
        meant = parse_address(address, site)
        wanted = [one.at(commit) for one in meant] if commit else meant
        with self._one_at_a_time(user_id):
            async with self._slot():
                # Who has waited in vain has not imported.
                self._paces.spend(user_id)
                return await self._fetch_in_time(site, meant, wanted)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            with trio.fail_after(_MOST_WAIT_S):
                await self._at_once.acquire()
        except trio.TooSlowError as error:
            raise TooFast("Others are importing from GitHub; try again in a moment.") from error
        try:
            yield
        finally:
            self._at_once.release()

    async def _fetch_in_time(self, site: Site, meant: Sequence[Repository], wanted: Sequence[Repository]) -> Fetched:
        try:
            with trio.fail_after(self._settings.import_timeout_s):
                return await self._fetch(site, meant, wanted)
        except trio.TooSlowError as error:
            raise ImportFailed(
                f"The import took longer than {self._settings.import_timeout_s:g} s; try again, or clone the "
                "repository and upload it with `preview push`."
            ) from error

    @contextmanager
    def _one_at_a_time(self, user_id: str) -> Iterator[None]:
        if user_id in self._busy:
            raise TooFast("You have an import from GitHub in progress; wait until it has ended.")
        self._busy.add(user_id)
        try:
            yield
        finally:
            self._busy.discard(user_id)

    async def _fetch(self, site: Site, meant: Sequence[Repository], wanted: Sequence[Repository]) -> Fetched:
        if self._downloader is None:
            self._downloader = Downloader(site, self._settings.upload_bytes)
        for one, exact in zip(meant, wanted, strict=True):
            with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES, prefix="preview-import-") as archive:
                if not await self._downloader.fetch(exact.archive(site), archive):
                    continue
                commit = await trio.to_thread.run_sync(_commit_of, archive)
                unpacked = await self._reader.unpack_repository(
                    archive, GenerationLimits.of(self._settings), one.folder
                )
            notes = [*_notes(unpacked.files, unpacked.links, unpacked.installed)]
            return Fetched(one, one.page(site), commit, unpacked.files, notes)
        raise RepositoryNotFound(_missing(site, meant[0], wanted[0]))


def _missing(site: Site, one: Repository, exact: Repository) -> str:
    what = "" if exact.ref == "HEAD" else f" with the branch, tag or commit {quoted(exact.ref)}"
    return (
        f"{site.host} has no public repository {one.full_name}{what}; if it is private, clone it and upload the clone "
        "with `preview push`."
    )


def _commit_of(archive: IO[bytes]) -> str:
    """Return the commit in a zip archive's comment (git-archive(1)); empty without one."""
    size = archive.seek(0, 2)
    archive.seek(max(0, size - _TAIL_BYTES))
    tail = archive.read(_TAIL_BYTES)
    archive.seek(0)
    found = _COMMENT.search(tail)
    return "" if found is None else (found[1] or found[2]).decode("ascii")


def _notes(files: Mapping[str, bytes], links: Sequence[str], installed: Sequence[str]) -> Iterator[str]:
    """Yield sentences about what an archive of GitHub does not have, or what was left out."""
    pointers = sorted(path for path, content in files.items() if content.startswith(_POINTER))
    if links:
        yield f"Symbolic links are left out: {_named(links)}."
    if installed:
        yield f"Installed packages are left out, because the service installs its own: {_named(installed)}."
    if pointers:
        yield f"Files of Git LFS have a pointer as their content: {_named(pointers)}."
    if ".gitmodules" in files:
        yield "Submodules are left out: their folders are empty."


def _named(paths: Sequence[str]) -> str:
    more = len(paths) - _MOST_NAMED
    return ", ".join(map(quoted, paths[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")
