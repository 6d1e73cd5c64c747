"""Containers of gVisor (``runsc``): a kernel of its own between a preview and the machine's."""

from preview.runtime.container.gvisor.runtime import GvisorRuntime

__all__ = ["GvisorRuntime"]
