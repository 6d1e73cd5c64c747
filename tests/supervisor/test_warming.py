"""Modules that a template imports for a project."""

from __future__ import annotations

from pathlib import Path

from preview.detection import ServiceKind
from preview.environments import Environment
from preview.settings import Settings
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.warming import Whose, warm_start
from preview.worker import analyse

APP = """
from fastapi import FastAPI
from sqlalchemy import create_engine
engine = create_engine("{url}")
app = FastAPI()
"""


def modules_for(folder: Path, url: str) -> frozenset[str]:
    (folder / "main.py").write_text(APP.format(url=url))
    found = analyse(folder, None, frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL}))
    analysis = ProjectAnalysis(found.plan, found.own, found.imports, found.asked)
    environment = Environment(folder, folder / "python", folder, {}, 0.0, "cached")
    warm = warm_start(Settings(data_dir=folder, warm_templates=1), analysis, environment, Whose("ann", "shop"), print)
    assert warm is not None
    return frozenset(warm.modules)


async def test_the_driver_that_a_framework_loads_by_the_address_is_imported_before(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("fastapi\nsqlalchemy\npsycopg[binary]\n")
    drivers = {"psycopg", "sqlalchemy.dialects.postgresql", "pymysql"}
    assert not modules_for(tmp_path, "sqlite:///shop.db") & drivers
    assert modules_for(tmp_path, "postgresql://shop:s3cret@db/shop") & drivers == drivers - {"pymysql"}
    assert modules_for(tmp_path, "mysql+pymysql://shop:s3cret@db/shop") & drivers == {"pymysql"}


async def test_no_driver_is_imported_that_has_the_name_of_a_module_of_the_project(tmp_path: Path) -> None:
    # The project could not be forked from a template that has loaded the package.
    (tmp_path / "psycopg2.py").write_text("")
    modules = modules_for(tmp_path, "postgresql://shop:s3cret@db/shop")
    assert "psycopg2" not in modules
    assert "psycopg" in modules
