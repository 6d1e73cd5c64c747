from __future__ import annotations

from pathlib import Path

import pytest

from preview.auth import load_or_create_secret
from preview.cluster.leases import Lease
from preview.errors import ConfigurationError
from preview.settings import load_settings
from preview.storage import open_sealer


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


def test_an_answer_to_an_earlier_leases_renewal_changes_nothing() -> None:
    now = [100.0]
    lease = Lease(8.0, lambda: now[0])
    lease.begin(100.0)
    now[0] = 120.0
    lease.begin(120.0)
    assert not lease.renewed(105.0)
    assert lease.left_s == 6.0


def test_a_node_that_lost_its_lease_leaves_others_a_lease_to_renew_theirs() -> None:
    now = [100.0]
    lease = Lease(2.0, lambda: now[0])
    lease.begin(100.0)
    assert lease.steady_in_s < 0
    now[0] = 101.0
    assert lease.renewed(101.0)
    assert lease.steady_in_s < 0
    now[0] = 110.0
    lease.begin(109.5)
    assert lease.steady_in_s == 1.5
    now[0] = 110.5
    assert lease.renewed(110.5)
    assert lease.steady_in_s == 1.0


def test_another_server_is_not_trusted_for_a_lease() -> None:
    now = [100.0]
    lease = Lease(2.0, lambda: now[0])
    lease.begin(100.0)
    assert lease.trusted_in_s < 0
    now[0] = 101.0
    lease.doubt()
    # Its own lease goes on; previews of other nodes are left alone.
    assert (lease.holds, lease.trusted_in_s, lease.steady_in_s) == (True, 2.0, 2.0)
    now[0] = 103.0
    assert (lease.trusted_in_s, lease.steady_in_s) == (0.0, 0.0)


def test_a_node_needs_postgresql_an_address_and_the_clusters_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_DATABASE_URL"):
        load_settings(cluster=True)
    monkeypatch.setenv("PREVIEW_DATABASE_URL", "postgresql://preview@db/preview")
    with pytest.raises(ConfigurationError, match="PREVIEW_NODE_ADDRESS"):
        load_settings(cluster=True)
    monkeypatch.setenv("PREVIEW_NODE_ADDRESS", "10.0.0.1:7000")
    for short in ("", "x" * 31):
        monkeypatch.setenv("PREVIEW_CLUSTER_SECRET", short)
        with pytest.raises(ConfigurationError, match="PREVIEW_CLUSTER_SECRET"):
            load_settings(cluster=True)
    monkeypatch.setenv("PREVIEW_CLUSTER_SECRET", "x" * 32)
    assert load_settings(cluster=True).node_lease_s == 2


def test_all_nodes_have_the_same_secrets_for_tokens_and_for_what_they_seal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREVIEW_DATABASE_URL", "postgresql://preview@db/preview")
    monkeypatch.setenv("PREVIEW_NODE_ADDRESS", "10.0.0.1:7000")
    monkeypatch.setenv("PREVIEW_CLUSTER_SECRET", "x" * 32)
    one, two = (load_settings(cluster=True, data_dir=tmp_path / name) for name in ("one", "two"))
    secret = load_or_create_secret(one)
    assert secret == load_or_create_secret(two) != "x" * 32
    sealed = open_sealer(one).seal("a password", "p")
    assert open_sealer(two).open(sealed, "p") == "a password"
    assert list(tmp_path.iterdir()) == []
    # A command beside a node has the secret, but not the option of `serve`.
    assert load_or_create_secret(load_settings(data_dir=tmp_path / "one")) == secret
    monkeypatch.delenv("PREVIEW_CLUSTER_SECRET")
    assert load_or_create_secret(load_settings(data_dir=tmp_path / "alone")) != secret
