"""Variables of requests: kept for a generation, and put into requests that ask for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from http_kit import FILES, open_world
from together_kit import new_guest

from preview.core.clock import now_ms
from preview.storage.people_tables import request_variables
from preview.together.variables import MOST_VARIABLES

# An application without a package, which shows what came.
ECHO = {
    "preview.toml": '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n',
    "main.py": """
import json
def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([environ["QUERY_STRING"], environ.get("HTTP_X_KEY"), body]).encode()]
""",
}
SECRET = "s3cret-that-nobody-reads"


async def test_variables_are_kept_and_secrets_are_never_returned(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        base = f"/api/v1/generations/{generation}/preview/variables"
        for user, status in (("eve", 404), (None, 401)):
            assert (await world.ask("GET", base, user=user)).status_code == status
            assert (await world.ask("PUT", f"{base}/a", {"value": "1"}, user=user)).status_code == status
            assert (await world.ask("DELETE", f"{base}/a", user=user)).status_code == status
        for name in ("1a", "a b", "a" * 65, "%00", "a%7D%7D", "é"):
            refused = await world.ask("PUT", f"{base}/{name}", {"value": "1"})
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request"), name
        for body in (
            {"value": 1},
            {"value": "x" * 20_000},
            {"value": "\0"},
            {"value": "", "x": 1},
            {},
        ):
            refused = await world.ask("PUT", f"{base}/a", body)
            assert refused.status_code == 400, body
        assert (await world.ask("DELETE", f"{base}/%00")).json()["code"] == "variable_not_found"
        assert (await world.ask("PUT", f"{base}/book", {"value": "7"})).json()["value"] == "7"
        made = await world.ask("PUT", f"{base}/key", {"value": SECRET, "secret": True})
        listed = await world.ask("GET", base)
        assert [(one["name"], one["value"], one["secret"]) for one in listed.json()["items"]] == [
            ("book", "7", False),
            ("key", None, True),
        ]
        assert SECRET not in made.text + listed.text
        stored = await world.app.backend.service.database.read(
            lambda connection: connection.execute(request_variables.select()).all()
        )
        assert SECRET not in repr(stored)
        assert all(row.updated_at <= now_ms() for row in stored)
        # A value that replaces a secret is shown, and the secret is gone.
        await world.ask("PUT", f"{base}/key", {"value": "open"})
        assert (await world.ask("GET", base)).json()["items"][1]["value"] == "open"
        assert (await world.ask("DELETE", f"{base}/key")).status_code == 204
        assert (await world.ask("DELETE", f"{base}/key")).status_code == 404
        for number in range(MOST_VARIABLES - 1):
            await world.app.backend.people.variables.set(generation, f"v{number}", "", is_secret=False)
        refused = await world.ask("PUT", f"{base}/more", {"value": ""})
        assert (refused.status_code, refused.json()["code"]) == (409, "variable_limit_reached")
        assert (await world.ask("PUT", f"{base}/v1", {"value": "again"})).status_code == 200


async def test_a_request_has_the_values_and_secrets_leave_no_trace(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(ECHO)
        own = f"/api/v1/generations/{generation}/preview"
        token = (await world.launch(generation))["session_token"]
        using = await new_guest(world, generation, "use")

        async def send(asked: dict[str, Any], by: Any = world) -> Any:
            body = {"method": "POST", "path": "/echo", "resolve": True} | asked
            return await by.ask("POST", f"{own}/request", body, headers={"X-Preview-Token": token})

        for name, value in (("page", "2"), ("kind", "a b#?"), ("crlf", "x\r\nInjected: 1"), ("self", "{{page}}")):
            await world.ask("PUT", f"{own}/variables/{name}", {"value": value})
        await world.ask("PUT", f"{own}/variables/key", {"value": SECRET, "secret": True})
        # An attacker's requests first: a guest who wants the secret, a header that ends early, a path that is logged.
        refused = await send({"headers": {"X-Key": "{{key}}"}}, using)
        assert (refused.status_code, refused.json()["details"]["reason"]) == (403, "secret_variable")
        assert (await send({"headers": {"X-A": "{{crlf}}"}})).status_code == 400
        assert (await send({"path": "/echo/{{key}}"})).json()["code"] == "invalid_request"
        await world.ask("PUT", f"{own}/variables/long", {"value": "x" * 16_000})
        assert (await send({"body": "{{long}}" * 2_000})).json()["code"] == "body_too_large"
        refused = await send({"path": "/{{no}}", "body": {"a": "{{nor}} {{ page }}"}})
        assert (refused.status_code, refused.json()["details"]["names"]) == (422, ["no", "nor"])
        # A value is not filled again, and a path's value is escaped.
        sent = await send(
            {
                "path": "/echo?page={{page}}&kind={{kind}}",
                "query": {"self": "{{self}}"},
                "headers": {"X-Key": "Key {{key}}"},
                "body": {"n": "{{page}}", "text": "{{not closed} {{#each}}"},
            }
        )
        query, key, content = json.loads(sent.json()["body"])
        assert dict(parse_qsl(query)) == {"page": "2", "kind": "a b#?", "self": "{{page}}"}
        assert key == f"Key {SECRET}"
        assert json.loads(content) == {"n": "2", "text": "{{not closed} {{#each}}"}
        # Guests have the values that they can see; and without `resolve` nothing is changed.
        assert (await send({"body": "{{page}}"}, using)).json()["status_code"] == 200
        plain = await send({"body": "{{page}} {{no}}", "resolve": False})
        assert "{{page}} {{no}}" in plain.text
        records = (await world.ask("GET", f"{own}/requests")).json()["items"]
        assert len(records) == 3
        for one in records:
            assert SECRET not in (await world.ask("GET", f"{own}/requests/{one['number']}")).text
