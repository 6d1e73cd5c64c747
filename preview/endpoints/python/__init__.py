"""Evaluation of Python source as far as routes need it, without running any code.

Each framework defines the effects of its own names (``Framework``, ``Native``).
"""

from preview.endpoints.names import UNKNOWN, External, Unread
from preview.endpoints.python.applications import Kind, find_import_root, find_python_apps, is_aside
from preview.endpoints.python.evaluator import PythonEvaluator
from preview.endpoints.python.imports import join
from preview.endpoints.python.truth import Call, Extensible, Framework, Native, WouldRaise
from preview.endpoints.python.values import Class, Expression, Function, Instance, Module, Scope

__all__ = [
    "UNKNOWN",
    "Call",
    "Class",
    "Expression",
    "Extensible",
    "External",
    "Framework",
    "Function",
    "Instance",
    "Kind",
    "Module",
    "Native",
    "PythonEvaluator",
    "Scope",
    "Unread",
    "WouldRaise",
    "find_import_root",
    "find_python_apps",
    "is_aside",
    "join",
]
