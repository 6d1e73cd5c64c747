"""Projects for other versions of Python."""

from preview.detection.python_versions.newer_python import OLDER_PYTHON, with_older_python

__all__ = ["OLDER_PYTHON", "with_older_python"]
