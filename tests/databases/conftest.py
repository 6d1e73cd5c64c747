"""Keeps pytest out of the projects: what stands in them is a stranger's."""

collect_ignore = ["projects"]
