"""Upper limits of requirements."""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from preview.environments.requirements.requirements import ProjectRequirement


def newest_version(item: ProjectRequirement) -> Version | None:
    """Return the newest version that a requirement allows, approximately; None without an upper limit."""
    try:
        specifiers = list(Requirement(item.text.partition(" --hash")[0]).specifier)
    except InvalidRequirement:
        return None
    found: list[Version] = []
    for one in specifiers:
        try:
            version = Version(one.version.removesuffix(".*"))
        except InvalidVersion:
            continue
        if one.operator in {"==", "===", "<="}:
            found.append(version)
        elif one.operator == "~=":
            head = [*version.release[:-2], version.release[-2], 9999]
            found.append(Version(".".join(str(part) for part in head)))
        elif one.operator == "<":
            found.append(_below(version))
    return min(found, default=None)


def _below(version: Version) -> Version:
    """Return a version just below this one."""
    release = list(version.release)
    while release and release[-1] == 0:
        release.pop()
    if not release:
        return Version("0")
    release[-1] -= 1
    return Version(".".join(str(part) for part in (*release, 9999)))
