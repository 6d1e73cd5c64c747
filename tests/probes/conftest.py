"""Keeps pytest out of the example backends: what stands in them is a stranger's."""

collect_ignore = ["projects"]
