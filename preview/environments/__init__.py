"""Environments: installed packages, built from a project's requirements and cached.

Most names are imported on first use. The processes that read untrusted files do not load what builds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preview.environments.folders.environment import Environment, EnvironmentRequest, How, Report, SuppliedServer
from preview.lazy_imports import importer

if TYPE_CHECKING:
    from preview.environments.folders.image_source import BuiltBeside, BuiltImage, HealthCheck
    from preview.environments.images import ImageCache, open_images
    from preview.environments.imports.names import OWN_NAMES, distribution_of, is_known_module, named_after
    from preview.environments.node.modules import NO_ENGINE
    from preview.environments.python.choosing import find_newer
    from preview.environments.requirements.arguments import ANY_VERSION, IN_SPITE
    from preview.environments.requirements.requirements import RequirementSet
    from preview.environments.sandbox.find_jail import find_jail
    from preview.environments.sandbox.jail import Jail
    from preview.environments.store.cache import EnvironmentCache
    from preview.environments.store.shelf import Shelf, StoredEnvironment
    from preview.sources.image_source import ImageSource

__all__ = [
    "ANY_VERSION",
    "IN_SPITE",
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

__getattr__ = importer(
    __name__,
    {
        "NO_ENGINE": "preview.environments.node.modules",
        "ANY_VERSION": "preview.environments.requirements.arguments",
        "IN_SPITE": "preview.environments.requirements.arguments",
        "OWN_NAMES": "preview.environments.imports.names",
        "BuiltBeside": "preview.environments.folders.image_source",
        "BuiltImage": "preview.environments.folders.image_source",
        "EnvironmentCache": "preview.environments.store.cache",
        "HealthCheck": "preview.environments.folders.image_source",
        "ImageCache": "preview.environments.images",
        "ImageSource": "preview.sources.image_source",
        "Jail": "preview.environments.sandbox.jail",
        "RequirementSet": "preview.environments.requirements.requirements",
        "Shelf": "preview.environments.store.shelf",
        "StoredEnvironment": "preview.environments.store.shelf",
        "distribution_of": "preview.environments.imports.names",
        "find_jail": "preview.environments.sandbox.find_jail",
        "find_newer": "preview.environments.python.choosing",
        "is_known_module": "preview.environments.imports.names",
        "named_after": "preview.environments.imports.names",
        "open_images": "preview.environments.images",
    },
)
