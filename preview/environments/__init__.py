"""What a project requires, as a ready interpreter environment from a cache."""

from preview.environments.cache import EnvironmentCache
from preview.environments.environment import Environment, EnvironmentRequest, How, Report, SuppliedServer

__all__ = ["Environment", "EnvironmentCache", "EnvironmentRequest", "How", "Report", "SuppliedServer"]
