"""A real Prometheus scrapes a real service, with the configuration and the rules of ``deploy/monitoring``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from http_kit import open_world
from prometheus_kit import FILES, find_prometheus, run_prometheus

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_prometheus() is None, reason="prometheus is not installed (Debian: prometheus)"),
]


class Api:
    """Prometheus' API."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str) -> Any:
        """Return the data; None while Prometheus starts."""
        await trio.sleep(0.1)
        try:
            answer = await self._client.get(f"/api/v1/{path}")
        except httpx2.HTTPError:
            return None
        return answer.json()["data"] if answer.status_code == 200 else None

    async def targets(self) -> list[tuple[str, str]]:
        """Return the states and errors of the targets."""
        found = await self.get("targets")
        return [(one["health"], one["lastError"]) for one in (found or {}).get("activeTargets", ())]

    async def rules(self) -> dict[str, tuple[str, str, str]]:
        """Return state, health and error of each alert rule."""
        found = await self.get("rules")
        return {
            rule["name"]: (rule["state"], rule["health"], rule.get("lastError", ""))
            for group in (found or {}).get("groups", ())
            for rule in group["rules"]
        }

    async def wait_state(self, alert: str, state: str) -> None:
        """Wait for an alert's state."""
        while (await self.rules()).get(alert, ("",))[0] != state:
            pass


async def test_prometheus_scrapes_the_service_and_an_alert_fires(tmp_path: Path) -> None:
    alerts = FILES.joinpath("alerts.yml").read_text().count("- alert: ")
    async with open_world(tmp_path) as world:
        with run_prometheus(tmp_path / "prometheus", world.url.partition("//")[2]) as url:
            async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
                api = Api(client)
                with trio.fail_after(90):
                    while await api.targets() != [("up", "")]:
                        pass
                    rules = await api.rules()
                    while {health for _, health, _ in rules.values()} != {"ok"}:
                        assert not any(error for _, _, error in rules.values()), rules
                        rules = await api.rules()
                    assert len(rules) == alerts
                    # All of these rules are quiet for a service at rest.
                    assert {state for state, _, _ in rules.values()} == {"inactive"}
                    world.service.log_writer.lost_count += 7
                    await api.wait_state("PreviewLogLinesLost", "firing")
                    world.stop.set()
                    # Prometheus says so after a minute; a second shows that it noticed.
                    await api.wait_state("PreviewDown", "pending")
    assert "level=error" not in (tmp_path / "prometheus" / "log").read_text()
