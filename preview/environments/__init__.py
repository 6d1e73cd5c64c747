"""Environments: installed packages, built from a project's requirements and cached.

Most names are imported on first use. The processes that read untrusted files do not load what builds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from preview.environments.folders.environment import Environment, EnvironmentRequest, How, Report, SuppliedServer

if TYPE_CHECKING:
    from preview.environments.folders.image_source import BuiltBeside, BuiltImage, HealthCheck
    from preview.environments.images import ImageCache, open_images
    from preview.environments.imports.names import OWN_NAMES, distribution_of, is_known_module, named_after
    from preview.environments.node.modules import NO_ENGINE
    from preview.environments.python.choosing import find_newer
    from preview.environments.requirements.requirements import RequirementSet
    from preview.environments.sandbox.find_jail import find_jail
    from preview.environments.sandbox.jail import Jail
    from preview.environments.store.cache import EnvironmentCache
    from preview.environments.store.shelf import Shelf, StoredEnvironment
    from preview.sources.image_source import ImageSource

__all__ = [
    "NO_ENGINE",
    "OWN_NAMES",
    "BuiltBeside",
    "BuiltImage",
    "Environment",
    "EnvironmentCache",
    "EnvironmentRequest",
    "HealthCheck",
    "How",
    "ImageCache",
    "ImageSource",
    "Jail",
    "Report",
    "RequirementSet",
    "Shelf",
    "StoredEnvironment",
    "SuppliedServer",
    "distribution_of",
    "find_jail",
    "find_newer",
    "is_known_module",
    "named_after",
    "open_images",
]

_LATER = {
    "NO_ENGINE": "environments.node.modules",
    "OWN_NAMES": "environments.imports.names",
    "BuiltBeside": "environments.folders.image_source",
    "BuiltImage": "environments.folders.image_source",
    "EnvironmentCache": "environments.store.cache",
    "HealthCheck": "environments.folders.image_source",
    "ImageCache": "environments.images",
    "ImageSource": "sources.image_source",
    "Jail": "environments.sandbox.jail",
    "RequirementSet": "environments.requirements.requirements",
    "Shelf": "environments.store.shelf",
    "StoredEnvironment": "environments.store.shelf",
    "distribution_of": "environments.imports.names",
    "find_jail": "environments.sandbox.find_jail",
    "find_newer": "environments.python.choosing",
    "is_known_module": "environments.imports.names",
    "named_after": "environments.imports.names",
    "open_images": "environments.images",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"preview.{_LATER[name]}"), name)
