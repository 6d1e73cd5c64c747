"""``import MySQLdb`` where PyMySQL is installed: Django's and SQLAlchemy's drivers import that name."""

from __future__ import annotations

from pathlib import Path

from preview.environments.python.mysql import serve_as_mysqldb


def site(root: Path, *packages: str) -> Path:
    folder = root / "lib" / "python3.12" / "site-packages"
    for name in packages:
        (folder / name).mkdir(parents=True)
    return folder


def test_pymysql_serves_as_mysqldb(tmp_path: Path) -> None:
    folder = site(tmp_path, "pymysql", "django")
    assert serve_as_mysqldb(tmp_path)
    assert "install_as_MySQLdb" in (folder / "MySQLdb.py").read_text()
    assert not serve_as_mysqldb(tmp_path)


def test_a_package_of_that_name_is_left_alone(tmp_path: Path) -> None:
    folder = site(tmp_path, "pymysql", "MySQLdb")
    assert not serve_as_mysqldb(tmp_path)
    assert not (folder / "MySQLdb.py").exists()


def test_without_pymysql_nothing_is_made(tmp_path: Path) -> None:
    folder = site(tmp_path, "django")
    assert not serve_as_mysqldb(tmp_path)
    assert not (folder / "MySQLdb.py").exists()
