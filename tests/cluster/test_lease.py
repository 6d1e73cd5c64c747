from __future__ import annotations

import pytest

from preview.cluster.leases import Lease
from preview.errors import ConfigurationError
from preview.settings import load_settings


def test_the_local_deadline_is_before_the_lease_and_a_late_renewal_is_none() -> None:
    now = 100.0
    lease = Lease(2.0, lambda: now)
    assert not lease.holds
    lease.begin(100.0)
    now = 101.4
    assert lease.holds
    # Asked for in time and answered in time.
    assert lease.renewed(100.5)
    assert lease.left_s == pytest.approx(0.6)
    now = 102.1
    assert not lease.holds
    assert not lease.renewed(102.0)
    assert not lease.holds


def test_a_node_needs_postgresql_and_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_DATABASE_URL"):
        load_settings(cluster=True)
    monkeypatch.setenv("PREVIEW_DATABASE_URL", "postgresql://preview@db/preview")
    with pytest.raises(ConfigurationError, match="PREVIEW_NODE_ADDRESS"):
        load_settings(cluster=True)
    monkeypatch.setenv("PREVIEW_NODE_ADDRESS", "10.0.0.1:7000")
    assert load_settings(cluster=True).node_lease_s == 2
