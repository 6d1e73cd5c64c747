"""The chain of the audit trail: each change, removal or move of an entry is found, and named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.auth.audit.chain import ChainCheck, Fault
from preview.auth.audit.entry import BROKEN, FIRST, REMOVED, SERVICE, AuditEntry, Head, chained
from preview.auth.audit.export import cef_line, json_line

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_FIELDS = ["user_id", "owner_id", "action", "subject", "preview_id", "detail", "outcome", "via", "address"]


def trail(texts: list[str], start: Head | None = None) -> list[AuditEntry]:
    made, before = [], start or Head(0, FIRST)
    for text in texts:
        made.append(chained(AuditEntry.new("ann", "launched", subject=text), before.seq + 1, before.hash))
        before = Head(made[-1].seq, made[-1].hash)
    return made


def fault_of(entries: list[AuditEntry], start: Head | None = None, noted: Head | None = None) -> Fault | None:
    check = ChainCheck(start, noted)
    check.feed(entries)
    return check.finish()


def head_of(entries: list[AuditEntry]) -> Head:
    return Head(entries[-1].seq, entries[-1].hash)


@given(st.lists(_TEXTS, min_size=1, max_size=8), st.data())
def test_any_one_change_of_a_trail_is_found_at_its_place(texts: list[str], data: st.DataObject) -> None:
    whole = trail(texts)
    noted = head_of(whole)
    assert fault_of(whole, noted=noted) is None
    at = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["change", "time", "id", "remove", "copy", "swap"]))
    changed = list(whole)
    if kind == "change":
        name, value = data.draw(st.sampled_from(_FIELDS)), data.draw(_TEXTS)
        if value == getattr(whole[at], name):
            value += "x"
        changed[at] = replace(whole[at], **{name: value})  # type: ignore[arg-type]  # all of these fields are texts
    elif kind == "time":
        changed[at] = replace(whole[at], at_ms=whole[at].at_ms - 1)
    elif kind == "id":
        changed[at] = replace(whole[at], id="audit_other")
    elif kind == "remove":
        del changed[at]
    elif kind == "copy":
        changed.insert(at, whole[at])
        changed = [replace(entry, seq=number) for number, entry in enumerate(changed, 1)]
        at += 1
    else:
        other = data.draw(st.integers(0, len(whole) - 1).filter(lambda one: one != at or len(whole) == 1))
        if other == at:
            return
        first, second = sorted((at, other))
        changed[first] = replace(whole[second], seq=first + 1)
        changed[second] = replace(whole[first], seq=second + 1)
        at = first
    found = fault_of(changed, noted=noted)
    assert found is not None
    assert found.seq == at + 1


@given(st.lists(_TEXTS, min_size=2, max_size=6), st.data())
def test_a_trail_written_again_is_found_by_the_head_alone(texts: list[str], data: st.DataObject) -> None:
    whole = trail(texts)
    at = data.draw(st.integers(0, len(whole) - 1))
    again = trail([*texts[:at], texts[at] + "!", *texts[at + 1 :]])
    # The honest limit: the database alone does not show it.
    assert fault_of(again) is None
    assert fault_of(again, noted=head_of(whole)) is not None
    assert fault_of(whole[: at + 1]) is None
    cut = fault_of(whole[:at], noted=head_of(whole))
    assert cut is not None
    assert cut.seq == at + 1


def test_removed_old_entries_need_their_entry() -> None:
    whole = trail(["a", "b", "c"])
    start = Head(2, whole[1].hash)
    note = AuditEntry.new(SERVICE, REMOVED, "", detail=f"up to {start}", via=SERVICE)
    kept = [whole[2], chained(note, 4, whole[2].hash)]
    assert fault_of(kept, start) is None
    assert fault_of(kept[1:], start) == Fault(3, "#3 is missing; #4 follows instead")
    assert fault_of(kept[:1], start) == Fault(4, "the entry about removed old entries is missing")
    # A user cannot write one: the way is the service's own.
    forged = chained(replace(note, via="bearer"), 4, whole[2].hash)
    assert fault_of([whole[2], forged], start) is not None


def test_the_service_s_own_finding_is_a_fault() -> None:
    (first,) = trail(["a"])
    broken = chained(AuditEntry.new(SERVICE, BROKEN, "", detail="gone", via=SERVICE), 2, first.hash)
    found = fault_of([first, broken])
    assert found is not None
    assert found.seq == 2
    assert fault_of([first, chained(AuditEntry.new("ann", BROKEN, detail="gone"), 2, first.hash)]) is None


@pytest.mark.parametrize("text", ["", "1", "1:", "-1:" + FIRST, "1:" + "g" * 64, "٣:" + FIRST, "9" * 30 + ":" + FIRST])
def test_a_head_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a head must be"):
        Head.parse(text)
    assert Head.parse(f" 7:{FIRST}\n") == Head(7, FIRST)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_no_text_forges_a_second_line_or_another_field(text: str) -> None:
    shown = AuditEntry.new("ann", text, subject=text, detail=text).as_dict()
    assert json.loads(json_line(shown))["detail"] == shown["detail"]
    line = cef_line(shown, at_ms=shown["at_ms"], version="1")
    assert len(line.splitlines()) == 1
    header, _, pairs = line.partition("|rt=")
    assert header.replace("\\\\", "").replace("\\|", "").count("|") == 6
    assert pairs.replace("\\\\", "").replace("\\=", "").count("=") <= 15


def test_a_line_of_cef() -> None:
    entry = replace(
        AuditEntry.new("a=b", "launched|x", subject="gen_1", detail="POST /x\nnext", outcome="refused"),
        address="10.0.0.7",
        at_ms=5,
        seq=3,
        hash="ab",
    )
    assert cef_line(entry.as_dict(), at_ms=5, version="1.0") == (
        "CEF:0|preview|preview|1.0|launched\\|x|launched\\|x|6|rt=5 externalId=3 suser=a\\=b duser=a\\=b src=10.0.0.7 "
        "act=launched|x outcome=refused msg=POST /x\\nnext cs1Label=subject cs1=gen_1 cs2Label=preview cs3Label=via "
        "cs4Label=hash cs4=ab"
    )
