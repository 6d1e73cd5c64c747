"""Files that put the service on a server: systemd units, compose, or Kubernetes manifests, with a proxy for TLS."""

from __future__ import annotations

__all__: list[str] = []
