"""The log stream as the documents describe it: headers, bytes, numbers, words, kinds of events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from documents_kit import PREFIXES, DocumentsClient, Live, differences, launch_live

CONTRACTS = ["plan", "v1"]
STREAM = "/preview/logs/stream"
LEVELS = """
import logging

from fastapi import FastAPI

app = FastAPI()
for level in ("DEBUG", "INFO", "WARNING", "ERROR"):
    print(f"{level}: before", flush=True)


@app.get("/health")
def health():
    return "fine"


@app.get("/say")
def say():
    for level in ("DEBUG", "INFO", "WARNING", "ERROR"):
        print(f"{level}: after", flush=True)
"""


def read(service: DocumentsClient, live: Live, contract: str, query: str, **headers: str) -> tuple[str, dict[str, str]]:
    """The whole body, and the headers."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = service.ask("GET", live.path(contract, f"{STREAM}{query}"), user=live.user, headers=fields)
    assert answer.status_code == 200, answer.text
    return answer.text, dict(answer.headers)


def blocks(text: str) -> list[dict[str, str]]:
    """The fields of each event."""
    assert text.endswith("\n\n")
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in text[:-2].split("\n\n")]


def lines(text: str) -> Iterator[tuple[int, Any]]:
    for block in blocks(text):
        if "id" in block and "data" in block:
            assert list(block) == ["id", "data"]
            yield int(block["id"]), json.loads(block["data"])


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("query", ["", "?follow=false"])
def test_a_stream_has_the_headers_of_the_documents(
    service: DocumentsClient, live: Live, contract: str, query: str
) -> None:
    fields = {"Authorization": f"Bearer {service.token(live.user)}", "Accept-Encoding": "gzip, br, zstd"}
    with service.client.stream("GET", live.path(contract, f"{STREAM}{query}"), headers=fields) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in answer.headers
        begin = ""
        for text in answer.iter_text():
            begin += text
            if len(begin) >= len("retry: 2000\n\n"):
                break
        assert begin.startswith("retry: 2000\n\n")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_lines_are_numbered_from_1_without_gaps_in_both_contracts(
    service: DocumentsClient, live: Live, contract: str
) -> None:
    found = list(lines(read(service, live, contract, "?follow=false")[0]))
    assert [number for number, _line in found] == list(range(1, len(found) + 1))
    further = {"requestId", "request_id", "stream"}
    bare = [{key: line[key] for key in line if key not in further} for _number, line in found]
    assert [one for line in bare for one in differences(f"{contract} line", line)] == []
    other = dict(lines(read(service, live, "v1" if contract == "plan" else "plan", "?follow=false")[0]))
    assert {number: line["message"] for number, line in found}.items() <= {
        number: line["message"] for number, line in other.items()
    }.items()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_client_that_comes_back_goes_on_behind_its_last_line(
    service: DocumentsClient, live: Live, contract: str
) -> None:
    assert next(lines(read(service, live, contract, "?follow=false", Last_Event_ID="3")[0]))[0] == 4
    assert next(lines(read(service, live, contract, "?follow=false&last_event_id=3")[0]))[0] == 4
    assert len(list(lines(read(service, live, contract, "?follow=false&tail=2")[0]))) == 2


def test_levels_and_sources_have_the_words_of_each_document(service: DocumentsClient) -> None:
    generation = service.keep("levels", {"main.py": LEVELS, "requirements.txt": "fastapi\n"})
    made = service.launch("levels", generation)
    talking = Live("levels", generation, made["id"], made["session_token"])
    token = {"X-Preview-Token": talking.token}
    path = talking.path("v1", "/preview/request")
    assert service.ask("POST", path, {"method": "GET", "path": "/say"}, user="levels", headers=token).is_success
    said: dict[str, dict[str, tuple[str, str]]] = {}
    for contract in CONTRACTS:
        found = [line for _number, line in lines(read(service, talking, contract, "?follow=false")[0])]
        said[contract] = {line["message"]: (line["level"], line["source"]) for line in found}
        access = next(line for line in found if "GET /say" in line["message"])
        assert access["source"] == ("request" if contract == "plan" else "subprocess")
        ours = next(line for line in found if line["message"].startswith("ready in"))
        assert ours["source"] == ("startup" if contract == "plan" else "system")
    for level in ("DEBUG", "INFO", "WARNING", "ERROR"):
        word = "WARN" if level == "WARNING" else level
        assert said["plan"][f"{level}: before"] == (word, "startup")
        assert said["plan"][f"{level}: after"] == (word, "preview")
        assert said["v1"][f"{level}: before"] == said["v1"][f"{level}: after"] == (level, "subprocess")


@pytest.mark.parametrize(
    ("contract", "words", "keys"),
    [
        ("plan", ["launching", "running", "stopping"], {"previewInstanceId", "status", "reason", "timestamp"}),
        ("v1", ["starting", "running", "stopping"], {"id", "status", "reason", "timestamp"}),
    ],
)
def test_status_and_end_are_events_with_a_type_and_a_reconnect_gets_204(
    service: DocumentsClient, contract: str, words: list[str], keys: set[str]
) -> None:
    user = f"ended-{contract}"
    generation = service.keep(user)
    path = f"{PREFIXES[contract]}/{generation}{STREAM}"
    prefix = f"{PREFIXES['v1']}/{generation}/preview"
    assert service.ask("POST", f"{prefix}/launch", {}, user=user).status_code == 201
    headers = {"Authorization": f"Bearer {service.token(user)}"}
    text = ""
    with service.client.stream("GET", path, headers=headers) as answer:
        for piece in answer.iter_text():
            text += piece
            if 'status": "running"' in text and "Asked" not in headers:
                headers["Asked"] = "once"
                service.stop(user, generation)
    found = blocks(text)
    typed = [(block["event"], json.loads(block["data"])) for block in found if "event" in block]
    states = [data["status"] for kind, data in typed if kind == "status"]
    assert [word for word, before in zip(states, [None, *states], strict=False) if word != before][:3] == words
    assert all(data.keys() >= keys for _kind, data in typed)
    assert [kind for kind, _data in typed].count("end") == 1
    kind, end = typed[-1]
    assert (kind, end["status"]) == ("end", "stopped")
    assert end.keys() >= {"exitCode" if contract == "plan" else "exit_code"}
    assert all(re.fullmatch(r"\d+", block["id"]) for block in found if "id" in block)
    last = [block["id"] for block in found if "id" in block][-1]
    again = service.ask("GET", path, user=user, headers={"Last-Event-ID": last})
    assert (again.status_code, again.content) == (204, b"")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_ticket_is_for_one_preview_s_stream_only(service: DocumentsClient, live: Live, contract: str) -> None:
    made = service.ask("POST", live.path(contract, "/preview/logs/ticket"), user=live.user).json()["ticket"]
    other = launch_live(service, f"ticket-{contract}")
    for path in (other.path(contract, STREAM), live.path(contract, "/preview/status")):
        assert service.client.get(f"{path}?ticket={made}").status_code in {401, 403}
    service.stop(other.user, other.generation)


def test_a_quiet_stream_carries_a_comment(
    narrow: DocumentsClient,
) -> None:
    live = launch_live(narrow, "quiet")
    headers = {"Authorization": f"Bearer {narrow.token('quiet')}"}
    text = ""
    with narrow.client.stream("GET", live.path("v1", STREAM), headers=headers) as answer:
        for piece in answer.iter_text():
            text += piece
            if ": keep-alive\n\n" in text:
                break
    narrow.stop("quiet", live.generation)
    assert ": keep-alive\n\n" in text
