"""Projects that start in a container: by a Dockerfile, a compose file, or a ``devcontainer.json``."""

from preview.detection.containers.choose import find_container_plan, plan_named

__all__ = ["find_container_plan", "plan_named"]
