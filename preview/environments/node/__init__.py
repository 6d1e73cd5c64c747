"""Node environments: ``node_modules``, built from a project's requirements and cached."""

from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.imported import package_of
from preview.environments.node.modules import place_modules

__all__ = ["NodeEnvironmentCache", "package_of", "place_modules"]
