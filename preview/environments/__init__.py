"""Environments: installed packages, built from a project's requirements and cached."""

from preview.environments.folders.environment import Environment, EnvironmentRequest, How, Report, SuppliedServer
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
