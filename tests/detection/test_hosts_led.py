"""Hosts elsewhere that a Python project has as constants, and the preview's own servers in their place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from detection_kit import FASTAPI, write

from preview.detection import ServiceKind, StartPlan, detect

OTHER = "# see db.shop.example and my-db.shop.example\n"


def supplied(folder: Path, text: str) -> StartPlan:
    files = {"main.py": FASTAPI + OTHER + text, "requirements.txt": "fastapi\npsycopg2-binary\n"}
    return detect(write(folder, files), supplied=frozenset({ServiceKind.POSTGRESQL}))


@pytest.mark.parametrize(
    ("text", "led"),
    [
        ('psycopg2.connect(host="203.0.113.7", port=5432)\n', 'host="127.0.0.1", port'),
        ("psycopg2.connect(host='db.shop.example')\n", "host='127.0.0.1'"),
        ('psycopg2.connect("postgresql://a:b@db.shop.example/c?x=1")\n', '"postgresql://a:b@127.0.0.1/c?x=1"'),
        # The name of a container.
        ('x = "shop_sql"\npsycopg2.connect(host="shop_sql")\n', 'x = "shop_sql"\npsycopg2.connect(host="127.0.0.1")'),
        ('psycopg2.connect("postgresql://a:shop@shop:5432/shop")\n', '"postgresql://a:shop@127.0.0.1:5432/shop"'),
        ("D = {'ENGINE': 'django.db.backends.postgresql', 'HOST': 'shop'}  # DATABASES\n", "'HOST': '127.0.0.1'}"),
    ],
)
def test_a_constant_host_elsewhere_leads_to_the_own_server_in_the_copy(tmp_path: Path, text: str, led: str) -> None:
    plan = supplied(tmp_path, "import psycopg2\n" + text)
    step = next(one for one in plan.steps if one.name == "addresses")
    for _ in range(2):
        subprocess.run([sys.executable, *step.argv[1:]], cwd=tmp_path, check=True, timeout=60)
    found = (tmp_path / "main.py").read_text()
    assert (led in found, OTHER in found) == (True, True)
    assert any("leads to its own" in one for one in plan.warnings)
    assert [need.address for need in plan.services] == [("localhost", 5432)] or "host=" in text


def test_a_part_that_the_program_fills_in_is_no_host(tmp_path: Path) -> None:
    text = 'import psycopg2\npsycopg2.connect("postgresql://{user}:{word}@{host}/{name}".format(**settings))\n'
    assert [one for one in supplied(tmp_path, text).warnings if "connects to" in one] == []


@pytest.mark.parametrize(
    "text",
    [
        'import psycopg2\npsycopg2.connect(host="localhost")\n',
        'import redis\nredis.Redis(host="cache.shop.example")\n',
        'import oracledb\noracledb.connect(host="10.0.0.3")\n',
        'import psycopg2\npsycopg2.connect(host="/var/run/postgresql")\n',
    ],
)
def test_other_hosts_stay(tmp_path: Path, text: str) -> None:
    assert "addresses" not in [one.name for one in supplied(tmp_path, text).steps]
