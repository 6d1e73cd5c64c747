"""Steps that make a project's tables and data before it starts: from its sources, README, scripts and main blocks."""

from preview.detection.steps.env_file import find_env_file_step
from preview.detection.steps.extension import with_extension
from preview.detection.steps.folders import find_folders_step
from preview.detection.steps.key_files import with_key_files
from preview.detection.steps.model_tables import find_model_tables_step
from preview.detection.steps.purpose import BUILD, COLLECT_STATIC, INIT, MAKE_MIGRATIONS, SEED, StepWork
from preview.detection.steps.python_work import PythonPlace, find_python_work
from preview.detection.steps.sql_files import with_sql_files
from preview.detection.steps.unmade_tables import with_unmade_tables

__all__ = [
    "BUILD",
    "COLLECT_STATIC",
    "INIT",
    "MAKE_MIGRATIONS",
    "SEED",
    "PythonPlace",
    "StepWork",
    "find_env_file_step",
    "find_folders_step",
    "find_model_tables_step",
    "find_python_work",
    "with_extension",
    "with_key_files",
    "with_sql_files",
    "with_unmade_tables",
]
