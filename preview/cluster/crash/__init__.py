"""Gives up the lease of a node whose process was killed, before the lease ends."""

from preview.cluster.crash.watch import CrashWatch

__all__ = ["CrashWatch"]
