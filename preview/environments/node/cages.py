"""The jail of one Node environment's build."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from preview.environments.node.toolchain import NodeToolchain, npm_environment
from preview.environments.sandbox.jail import Cage, Jail
from preview.environments.way_out.leading import named_paths, own_settings, system_settings
from preview.runtime.cgroups import Cgroup
from preview.runtime.sandbox import interpreter_paths


def make_npm_cage(
    jail: Jail, toolchain: NodeToolchain, folder: Path, scratch: Path, group: Cgroup | None = None
) -> Cage:
    """What npm and the install scripts of packages see; makes its folders, so call it in a thread.

    Args:
        jail: What all installers' jails have in common.
        toolchain: Which Node and npm.
        folder: The environment that is being built.
        scratch: A folder that is gone after the build.
        group: The build's control group.

    Raises:
        OSError: The folders cannot be made.
    """
    environment = npm_environment(os.environ)
    cage = Cage(
        jail,
        folder,
        scratch,
        readable=(
            *(*interpreter_paths(toolchain.node), *interpreter_paths(toolchain.npm)),
            *(*system_settings(), *named_paths(environment)),
        ),
        writable=(jail.npm_cache,),
        # The one name of it that npm writes itself; another in capitals would count as much.
        variables={
            **{name: str(jail.npm_cache) for name in environment if name.lower() == "npm_config_cache"},
            "npm_config_cache": str(jail.npm_cache),
        },
        group=group,
    )
    cage = replace(cage, placed=own_settings(environment, cage.home))
    cage.prepare()
    return cage
