"""What a project asks for, as its files say it."""

from __future__ import annotations

from dataclasses import dataclass

from preview.environments.imports.removed_apis import OldUse
from preview.environments.imports.scan import Wanted
from preview.environments.manifests.stated import StatedPython
from preview.environments.requirements.requirements import RequirementSet


@dataclass(frozen=True, slots=True)
class Asked:
    """What a project asks for, whatever the Python.

    Attributes:
        required: By its manifests and the request.
        server: The server's requirement line, or None.
        wanted: By its imports, as far as ``required`` does not obviously bring it.
        standard: What it imports of the standard library; None where its imports were not looked at.
        stated: The Python that it names beside its manifests, or None.
        old_uses: What it uses that Pythons newer than the service's own do not have.
    """

    required: RequirementSet
    server: str | None
    wanted: tuple[Wanted, ...]
    standard: frozenset[str] | None = None
    stated: StatedPython | None = None
    old_uses: tuple[OldUse, ...] = ()
