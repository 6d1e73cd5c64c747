"""Run first by the Pythons that build packages: what the installer was told is not for the code of a package.

Its parent's environment stays readable to a process of the same user; this keeps it out of reach of accidents and logs.
"""

from __future__ import annotations

import os

if __name__ == "sitecustomize":
    for _name in list(os.environ):
        if _name.startswith(("UV_", "PIP_", "NETRC", "PYTHONPATH")):
            del os.environ[_name]
