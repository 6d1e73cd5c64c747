"""The variables that a project reads, and their values in a preview."""

from preview.detection.settings.collect import ProjectSettings, collect, local_address, placeholder_for, variable_for
from preview.detection.settings.example_files import ExampleValue, is_example_name, is_placeholder
from preview.detection.settings.laid_modules import lay_modules
from preview.detection.settings.model import Kind, Need, SettingRead, with_config_classes
from preview.detection.settings.tested_values import files_of_tests, values_of_tests
from preview.detection.settings.told_values import compose_values, is_readme, written_values
from preview.detection.settings.values import (
    is_database_url,
    is_environment,
    is_secret_name,
    is_sqlite_flag,
    make_up,
    service_of,
)

__all__ = [
    "ExampleValue",
    "Kind",
    "Need",
    "ProjectSettings",
    "SettingRead",
    "collect",
    "compose_values",
    "files_of_tests",
    "is_database_url",
    "is_environment",
    "is_example_name",
    "is_placeholder",
    "is_readme",
    "is_secret_name",
    "is_sqlite_flag",
    "lay_modules",
    "local_address",
    "make_up",
    "placeholder_for",
    "service_of",
    "values_of_tests",
    "variable_for",
    "with_config_classes",
    "written_values",
]
