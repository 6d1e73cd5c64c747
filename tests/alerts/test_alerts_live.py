"""Rules on real previews: lines, ends, silences, costs; firings stored and delivered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import trio
from pydantic import TypeAdapter
from receiver_kit import Receiver, open_receiver
from supervisor_kit import _LISTEN, _SERVE, CRASHES_WHEN_ASKED, SERVER, Rig, ask, open_rig

from preview.alerts import Condition, DeliveryState, Firing, Rule, RuleDraft, Scope, Webhook
from preview.alerts.budget import Budget
from preview.core.clock import now_ms
from preview.core.lifecycle import StopCause
from preview.errors import AlertLimitReached, AlertNotFound, InvalidFilter, InvalidRequest
from preview.launch_settings import LayerChange
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.traffic import Draft, Origin, Who

# Prints 1,000 lines a second, and what it is asked for.
CHATTY = (
    _LISTEN
    + """
import threading
def chat():
    while True:
        print("".join(f"line {n} of something\\n" for n in range(10)), end="", flush=True)
        time.sleep(0.01)
threading.Thread(target=chat, daemon=True).start()
def answer(path):
    if path != "/": print("ERROR", path, time.time(), flush=True)
    return 200
"""
    + _SERVE
)
SAYS_PATHS = _LISTEN + "def answer(path):\n    print('asked', path, flush=True)\n    return 200\n" + _SERVE


def condition(**fields: object) -> Condition:
    made: Condition = TypeAdapter(Condition).validate_python(fields)
    return made


def draft(
    receiver: Receiver | None = None,
    *,
    scope: Scope = Scope(),  # noqa: B008  immutable
    cooldown_s: float = 60,
    body: Mapping[str, Any] | None = None,
    **fields: object,
) -> RuleDraft:
    webhook = None if receiver is None else Webhook(receiver.url(), "s3cret", body)
    return RuleDraft("a rule", condition(**fields), scope, cooldown_s, True, webhook)


@pytest.fixture
async def open_alerts_rig(make_settings: Callable[..., Settings]) -> AsyncIterator[Rig]:
    async with open_rig(make_settings(webhook_networks=("127.0.0.0/8",), alerts_per_user=3)) as rig:
        yield rig


async def firings(rig: Rig, rule: Rule, count: int = 1) -> list[Firing]:
    """The rule's firings, once there are enough and their webhooks are done."""
    with trio.fail_after(20):
        while True:
            found, _ = await rig.service.alerts.firings("ann", rule.id, limit=50)
            if len(found) >= count and all(one.delivery.state is not DeliveryState.PENDING for one in found):
                return found
            await trio.lowlevel.checkpoint()


async def has_said(preview: LivePreview, text: str) -> str:
    with trio.fail_after(20), preview.log.subscribe() as subscription:
        while True:
            for event in await subscription.receive():
                for line in getattr(event, "lines", ()):
                    if text in line.message:
                        return str(line.message)


@pytest.mark.timed
async def test_an_alert_fires_within_a_second_under_a_thousand_lines_a_second(open_alerts_rig: Rig) -> None:
    rig = open_alerts_rig
    async with open_receiver() as receiver:
        rule = await rig.service.alerts.add("ann", draft(receiver, kind="matches", filter="ERROR /boom"))
        preview = await rig.running(CHATTY)
        while preview.log.last_seq < 500:
            await trio.lowlevel.checkpoint()
        await ask(preview, "/boom")
        with trio.fail_after(10):
            [got] = await receiver.wait_for(1)
        arrived_ms = now_ms()
        sent = json.loads(got.body)
        printed_ms = float(sent["line"].split()[-1]) * 1000
        assert arrived_ms - printed_ms < 1000
        assert sent["alert_id"] == rule.id
        assert sent["preview_id"] == preview.id
        [firing] = await firings(rig, rule)
        assert (firing.matches, firing.first_line, firing.last_line) == (1, sent["first_line"], sent["last_line"])
        assert firing.delivery.state is DeliveryState.DELIVERED
        assert firing.id == got.headers["x-preview-delivery"]
        [line] = [one for one in preview.log.last_lines(5000) if one.message.startswith('alert "a rule" fired')]
        assert line.source.value.startswith("system")


async def test_a_rule_that_is_made_later_applies_to_live_previews_and_never_to_its_own_lines(
    open_alerts_rig: Rig,
) -> None:
    rig = open_alerts_rig
    preview = await rig.running(SAYS_PATHS)
    rule = await rig.service.alerts.add(
        "ann", draft(kind="matches", filter="asked", count=2, within_s=60, cooldown_s=1)
    )
    other = await rig.service.alerts.add("ann", draft(kind="matches", filter="alert fired", cooldown_s=1))
    foreign = await rig.service.alerts.add("bob", draft(kind="matches", filter="asked"))
    elsewhere = await rig.service.alerts.add(
        "ann", draft(kind="matches", filter="asked", scope=Scope(generation_id="g2"))
    )
    for path in ("/a", "/b"):
        await ask(preview, path)
    said = await has_said(preview, "fired")
    assert said == "alert \"a rule\" fired: 2 lines in 60 s match 'asked'"
    [firing] = await firings(rig, rule)
    assert firing.matches == 2
    assert firing.line == "asked /b"
    assert firing.delivery.state is DeliveryState.NONE
    assert (await rig.service.alerts.firings("ann", other.id, limit=9))[0] == []
    assert (await rig.service.alerts.firings("ann", elsewhere.id, limit=9))[0] == []
    assert (await rig.service.alerts.firings("bob", foreign.id, limit=9))[0] == []
    assert [one.id for one in (await rig.service.alerts.firings_of_preview("ann", preview.id, limit=9))[0]] == [
        firing.id
    ]
    assert (await rig.service.alerts.firings_of_preview("bob", preview.id, limit=9))[0] == []


async def test_a_rule_that_is_off_or_deleted_does_not_fire(open_alerts_rig: Rig) -> None:
    rig, alerts = open_alerts_rig, open_alerts_rig.service.alerts
    asked = draft(kind="matches", filter="/a", cooldown_s=1)
    rule, gone = await alerts.add("ann", asked), await alerts.add("ann", asked)
    preview = await rig.running(SAYS_PATHS)
    await alerts.replace("ann", rule.id, replace(asked, is_enabled=False))
    await alerts.delete("ann", gone.id)
    last = await alerts.add("ann", draft(kind="matches", filter="/last"))
    for path in ("/a", "/last"):
        await ask(preview, path)
    await firings(rig, last)
    assert (await alerts.firings("ann", rule.id, limit=9))[0] == []
    with pytest.raises(AlertNotFound):
        await alerts.firings("ann", gone.id, limit=9)


async def test_a_silence_fires_once_until_a_line_comes(open_alerts_rig: Rig) -> None:
    rig = open_alerts_rig
    rule = await rig.service.alerts.add("ann", draft(kind="absent", filter="asked", for_s=1, cooldown_s=1))
    preview = await rig.running(SAYS_PATHS)
    assert "no line matches 'asked' for 1 s" in await has_said(preview, "fired")
    [first] = await firings(rig, rule)
    assert first.line is None
    await ask(preview, "/again")
    found = await firings(rig, rule, 2)
    assert len(found) == 2


async def test_the_end_of_a_preview_fires_and_says_why(open_alerts_rig: Rig) -> None:
    rig, alerts = open_alerts_rig, open_alerts_rig.service.alerts
    failed = await alerts.add("ann", draft(kind="event", event="failed"))
    ended = await alerts.add("ann", draft(kind="event", event="ended"))
    exited = await alerts.add("ann", draft(kind="event", event="exited", exit_code=3))
    preview = await rig.running(CRASHES_WHEN_ASKED)
    await ask(preview, "/crash")
    await preview.over.wait()
    [firing] = await firings(rig, failed)
    assert firing.summary.startswith("the preview has failed: ")
    await firings(rig, ended)
    assert (await alerts.firings("ann", exited.id, limit=9))[0] == []
    other = await rig.running(SERVER, "g2")
    other.request_stop(StopCause.USER)
    await other.over.wait()
    assert [one.preview_id for one in await firings(rig, ended, 2)] == [other.id, preview.id]
    assert len((await alerts.firings("ann", failed.id, limit=9))[0]) == 1


async def test_memory_fires_when_a_share_of_the_project_s_limit_is_used(make_settings: Callable[..., Settings]) -> None:
    async with open_rig(make_settings(usage_interval_s=0.05)) as rig:
        # A tenth of the project's limit is a few megabytes; of the service's limit it is more than the server uses.
        await rig.service.launch_settings.change("ann", "project-of-g1", None, LayerChange(memory_mb=64))
        rule = await rig.service.alerts.add("ann", draft(kind="memory", share=0.1))
        await rig.running(SERVER)
        [firing] = await firings(rig, rule)
        assert "% now" in firing.summary


async def test_a_webhook_is_repeated_with_the_same_id_until_it_is_taken(open_alerts_rig: Rig) -> None:
    rig = open_alerts_rig
    async with open_receiver() as receiver:
        receiver.answers = [500]
        rig.service.alerts._engine.deliveries._first_pause_s = 0.01
        body = {"text": "{alert}: {summary}", "test": "{test}"}
        rule = await rig.service.alerts.add("ann", draft(receiver, kind="matches", filter="asked", body=body))
        await ask(await rig.running(SAYS_PATHS), "/a")
        with trio.fail_after(20):
            first, second = await receiver.wait_for(2)
        assert first.body == second.body
        assert json.loads(first.body) == {"text": "a rule: a line matches 'asked'", "test": False}
        assert first.headers["x-preview-delivery"] == second.headers["x-preview-delivery"]
        [firing] = await firings(rig, rule)
        assert (firing.delivery.attempts, firing.delivery.status) == (2, 204)


async def test_a_test_is_marked_sent_once_and_stored(open_alerts_rig: Rig) -> None:
    rig, alerts = open_alerts_rig, open_alerts_rig.service.alerts
    async with open_receiver() as receiver:
        receiver.answers = [500]
        rule = await alerts.add("ann", draft(receiver, kind="matches", filter="asked"))
        failed, good = await alerts.test("ann", rule.id), await alerts.test("ann", rule.id)
        assert (failed.delivery.state, failed.delivery.status) == (DeliveryState.FAILED, 500)
        assert (good.delivery.state, good.is_test) == (DeliveryState.DELIVERED, True)
        assert json.loads(receiver.received[1].body)["test"] is True
        assert len(await firings(rig, rule, 2)) == 2


async def test_what_was_not_delivered_when_the_service_ended_is_sent_by_the_next_one(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(webhook_networks=("127.0.0.0/8",))

    async def hang(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        arrived.set()
        await trio.sleep_forever()

    arrived = trio.Event()
    async with open_receiver() as receiver:
        async with open_receiver(hang) as hanging, open_rig(settings) as rig:
            rule = await rig.service.alerts.add("ann", draft(hanging, kind="matches", filter="asked"))
            await ask(await rig.running(SAYS_PATHS), "/a")
            with trio.fail_after(20):
                await arrived.wait()
            moved = replace(draft(receiver, kind="matches", filter="asked"), keeps_secret=True)
            await rig.service.alerts.replace("ann", rule.id, moved)
        async with open_rig(settings) as rig:
            with trio.fail_after(20):
                [got] = await receiver.wait_for(1)
            [firing] = await firings(rig, rule)
            assert firing.id == got.headers["x-preview-delivery"]
            assert "x-preview-signature" in got.headers


async def test_rules_that_cost_too_much_are_paused_and_say_so(
    open_alerts_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, alerts = open_alerts_rig, open_alerts_rig.service.alerts
    rule = await alerts.add("ann", draft(kind="matches", filter="asked", cooldown_s=1))
    preview = await rig.running(SAYS_PATHS)
    assert not alerts.is_paused(rule)
    real = Budget.spend
    monkeypatch.setattr(Budget, "spend", lambda self, one, _, at: real(self, one, 10.0, at))
    await ask(preview, "/a")
    assert "paused for 60 s" in await has_said(preview, "paused")
    assert alerts.is_paused(rule)
    assert rule.id in {one.id for one in await alerts.rules("ann")}


async def test_a_user_has_few_rules_and_each_is_checked(open_alerts_rig: Rig) -> None:
    alerts = open_alerts_rig.service.alerts
    for _ in range(3):
        await alerts.add("ann", draft(kind="matches", filter="x"))
    with pytest.raises(AlertLimitReached):
        await alerts.add("ann", draft(kind="matches", filter="x"))
    await alerts.add("bob", draft(kind="matches", filter="x"))
    for wrong in ("since:5m", "reload:last", "req:7", 'unclosed "phrase', "nosuchkey:7"):
        with pytest.raises(InvalidFilter):
            await alerts.add("bob", draft(kind="matches", filter=wrong))
    with pytest.raises(InvalidRequest):
        await alerts.add("bob", draft(kind="event", event="failed", exit_code=3))
    with pytest.raises(AlertNotFound):
        await alerts.rule("bob", (await alerts.rules("ann"))[0].id)


async def test_the_rules_of_a_deleted_generation_are_deleted(open_alerts_rig: Rig) -> None:
    alerts = open_alerts_rig.service.alerts
    await alerts.add("ann", draft(kind="matches", filter="x", scope=Scope(generation_id="g1")))
    kept = await alerts.add("ann", draft(kind="matches", filter="x"))
    await alerts.forget("g1")
    assert [one.id for one in await alerts.rules("ann")] == [kept.id]


async def test_a_rule_can_be_tried_on_the_past(open_alerts_rig: Rig) -> None:
    rig, alerts = open_alerts_rig, open_alerts_rig.service.alerts
    preview = await rig.running(SAYS_PATHS)
    for number in range(4):
        await ask(preview, f"/{number}")
    await has_said(preview, "asked /3")
    await preview.log.settle(preview.log.last_seq)
    tried = await alerts.try_out(condition(kind="matches", filter="asked", count=2), 1, preview.id, user_id="ann")
    assert tried.examined == preview.log.last_seq
    assert tried.matched >= 4
    assert [line.message for line in tried.samples][-1] == "asked /3"
    assert tried.firings[0].text in ("asked /", "asked /0", "asked /1")
    assert not tried.is_cut
    with pytest.raises(InvalidRequest):
        await alerts.try_out(condition(kind="memory"), 1, preview.id, user_id="ann")


def request_draft(status: int, target: bytes = b"/orders?token=abc123secret", error: str | None = None) -> Draft:
    return Draft(
        b"r-1", Origin.BROWSER, Who.OWNER, "POST", target, status, error, now_ms(), 0.0, 0.001, 0.01, 0.02, 0, 0, 0, 1
    )


async def test_requests_fire_rules_about_requests_and_rates(open_alerts_rig: Rig) -> None:
    rig, alerts = open_alerts_rig, open_alerts_rig.service.alerts
    preview = await rig.running(SERVER)
    one = await alerts.add("ann", draft(kind="matches", on="requests", filter="status:>=500 path:/orders"))
    rate = await alerts.add("ann", draft(kind="error_rate", share=0.5, at_least=4))
    # Requests count from the moment at which the rules apply.
    with trio.fail_after(20):
        while not preview.traffic.listeners:
            await trio.lowlevel.checkpoint()
    for status in (200, 200, 503, 0):
        preview.traffic.record(request_draft(status, error=None if status else "upstream_failed"))
    [firing] = await firings(rig, one)
    assert firing.request == 3
    assert "POST /orders" in firing.summary
    assert "503" in firing.summary
    assert "abc123secret" not in firing.summary
    [high] = await firings(rig, rate)
    assert (high.request, high.matches) == (4, 2)
