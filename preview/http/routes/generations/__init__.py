"""Routes of generations, their files and versions, and their launches."""

from preview.http.routes.generations.examples import example_routes
from preview.http.routes.generations.files import file_routes, generation_routes
from preview.http.routes.generations.imports import import_routes
from preview.http.routes.generations.launches import launch_routes
from preview.http.routes.generations.metrics import metrics_routes
from preview.http.routes.generations.profiles import profile_routes
from preview.http.routes.generations.removed import removed_routes, run_purge
from preview.http.routes.generations.traces import trace_routes
from preview.http.routes.generations.versions import version_routes

__all__ = [
    "example_routes",
    "file_routes",
    "generation_routes",
    "import_routes",
    "launch_routes",
    "metrics_routes",
    "profile_routes",
    "removed_routes",
    "run_purge",
    "trace_routes",
    "version_routes",
]
