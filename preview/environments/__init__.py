"""What a project requires, as a ready interpreter environment from a cache."""

from preview.environments.cache import EnvironmentCache
from preview.environments.choosing import find_newer
from preview.environments.environment import Environment, EnvironmentRequest, How, Report, SuppliedServer
from preview.environments.find_jail import find_jail
from preview.environments.jail import Jail

__all__ = [
    "Environment",
    "EnvironmentCache",
    "EnvironmentRequest",
    "How",
    "Jail",
    "Report",
    "SuppliedServer",
    "find_jail",
    "find_newer",
]
