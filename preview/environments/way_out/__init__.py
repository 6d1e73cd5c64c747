"""Network access of builds: a forward proxy in the service that reaches only package indexes."""

from preview.environments.way_out.allowed import AllowedHosts, host_of, read_allowed
from preview.environments.way_out.opening import PORT, WayOut, make_build_proxy, open_way_out, way_out_variables

__all__ = [
    "PORT",
    "AllowedHosts",
    "WayOut",
    "host_of",
    "make_build_proxy",
    "open_way_out",
    "read_allowed",
    "way_out_variables",
]
