"""Evaluation of JavaScript and TypeScript source as far as routes need it, without running any code.

A framework defines the effects of its own names (``Framework``, ``Native``).
"""

from preview.endpoints.javascript.classes import lineage
from preview.endpoints.javascript.evaluator import JavaScriptEvaluator
from preview.endpoints.javascript.expressions import partial_text
from preview.endpoints.javascript.folders import glob_files, project_path
from preview.endpoints.javascript.modules import ROOT, Resolver
from preview.endpoints.javascript.natives import Bound, Call, Framework, Native
from preview.endpoints.javascript.operators import truth
from preview.endpoints.javascript.syntax import argument_nodes, children, first_child, string_value, text
from preview.endpoints.javascript.values import Class, Function, JSObject, Made, Module, Regex, Scope
from preview.endpoints.names import UNKNOWN, External

__all__ = [
    "ROOT",
    "UNKNOWN",
    "Bound",
    "Call",
    "Class",
    "External",
    "Framework",
    "Function",
    "JSObject",
    "JavaScriptEvaluator",
    "Made",
    "Module",
    "Native",
    "Regex",
    "Resolver",
    "Scope",
    "argument_nodes",
    "children",
    "first_child",
    "glob_files",
    "lineage",
    "partial_text",
    "project_path",
    "string_value",
    "text",
    "truth",
]
