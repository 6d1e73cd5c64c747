"""Processes in containers of an engine (Docker, Podman), which the service reaches by the engine's unix socket."""

from preview.runtime.container.addresses import engine_socket, is_named
from preview.runtime.container.engine import Engine, EngineError
from preview.runtime.container.probe import open_containers, probe_containers
from preview.runtime.container.runtime import ContainerRuntime

__all__ = [
    "ContainerRuntime",
    "Engine",
    "EngineError",
    "engine_socket",
    "is_named",
    "open_containers",
    "probe_containers",
]
