"""Requirements that cannot be followed to where they come from: they fail, and nobody looks their names up elsewhere.

A package of the same name in another index may be a stranger's (dependency confusion). So an index of the project's own
is one that the service is set up with, or the build fails; likewise a path, an address or a repository that is not
there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

from preview.environments.requirements.requirements import OwnIndex, Unfollowed
from preview.environments.way_out import AllowedHosts, host_of
from preview.environments.way_out.public_indexes import NODE_REGISTRIES, PYTHON_INDEX, PYTHON_INDEX_BEFORE
from preview.errors import EnvironmentFailed

# The public indexes: whoever names them means what the service's own index stands for.
_PUBLIC: Final = (
    f"https://{PYTHON_INDEX}/simple", f"https://{PYTHON_INDEX_BEFORE}/simple", f"https://{PYTHON_INDEX}/pypi",
    f"https://{PYTHON_INDEX}", *(f"https://{one}" for one in NODE_REGISTRIES[:2]),
)  # fmt: skip
# The public index has the packages of these under the same names, from the same publishers: other builds of them.
_OTHER_BUILDS: Final = re.compile(r"https://download\.pytorch\.org/whl(?:/[\w.+-]+)*/?")
_SHOWN: Final = 200


def check_names(indexes: Iterable[OwnIndex], unfollowed: Sequence[Unfollowed], allowed: AllowedHosts) -> None:
    """See that a project's requirements can be taken from where they come from.

    Args:
        indexes: That the project names.
        unfollowed: Requirements that lead nowhere.
        allowed: The service's own indexes are among these.

    Raises:
        EnvironmentFailed: One cannot.
    """
    if unfollowed:
        first = unfollowed[0]
        raise EnvironmentFailed(first.sentence, reason="invalid", requirement=first.text, origin=first.origin)
    for index in indexes:
        if not _is_configured(index.url, allowed):
            raise EnvironmentFailed(
                f"{index.origin} takes packages from an index that this service is not set up with "
                f"({_shown(index.url)}), and a package of the same name from another one may be a stranger's; leave "
                f"the index out, or have the service's operator add it ({index.setting})",
                reason="index",
                requirement=_shown(index.url),
                origin=index.origin,
            )


def _is_configured(url: str, allowed: AllowedHosts) -> bool:
    meant = _plain(url)
    if meant is None:
        return False
    if _OTHER_BUILDS.fullmatch(url.strip()):
        return True
    return meant in {_plain(one) for one in (*_PUBLIC, *allowed.urls)}


def _plain(url: str) -> tuple[str, tuple[str, int], str] | None:
    """An address without what does not tell indexes apart: credentials, a slash at its end."""
    url = url.strip().strip("\"'")
    there = host_of(url)
    if there is None:
        return None
    parts = urlsplit(url)
    return parts.scheme, there, parts.path.rstrip("/")


def _shown(url: str) -> str:
    """Without credentials."""
    plain = _plain(url)
    if plain is None:
        # What is no address may hold a password all the same.
        return url.strip().rpartition("@")[2][:_SHOWN]
    return f"{plain[0]}://{plain[1][0]}{plain[2]}"[:_SHOWN]
