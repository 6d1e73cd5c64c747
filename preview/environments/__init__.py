"""What a project requires, as a ready interpreter environment from a cache."""

from preview.environments.build import SUPPLIED_SERVER, Report
from preview.environments.cache import Environment, EnvironmentCache

__all__ = ["SUPPLIED_SERVER", "Environment", "EnvironmentCache", "Report"]
