"""Remove the installer's variables, first of all, in Pythons that build packages: a package's code must not use them.

A process of the same user can still read the parent's environment; this only prevents accidents and leaks into logs.
"""

from __future__ import annotations

import os

if __name__ == "sitecustomize":
    for _name in list(os.environ):
        if _name.startswith(("UV_", "PIP_", "NETRC", "PYTHONPATH")):
            del os.environ[_name]
