"""Keeps pytest out of the generated projects: what stands in them is a stranger's."""

collect_ignore = ["projects"]
