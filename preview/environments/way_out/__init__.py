"""The way out of a build: a forward proxy of the service, which reaches package indexes and nothing else."""

from preview.environments.way_out.allowed import AllowedHosts, host_of, read_allowed
from preview.environments.way_out.opening import PORT, WayOut, open_way_out, way_out_variables

__all__ = ["PORT", "AllowedHosts", "WayOut", "host_of", "open_way_out", "read_allowed", "way_out_variables"]
