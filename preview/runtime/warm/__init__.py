"""Processes forked from templates that have already imported an environment's packages."""

from preview.runtime.warm.pool import Bounds, TemplatePool
from preview.runtime.warm.runtime import WarmRuntime, open_warm_runtime
from preview.runtime.warm.wanted import RememberedTemplates, Wanted

__all__ = ["Bounds", "RememberedTemplates", "TemplatePool", "Wanted", "WarmRuntime", "open_warm_runtime"]
