"""What a Node project requires, as ready ``node_modules`` from a cache."""

from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.modules import place_modules

__all__ = ["NodeEnvironmentCache", "place_modules"]
