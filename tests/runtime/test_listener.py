"""Holding the socket is holding the port."""

from __future__ import annotations

import socket

import pytest

from preview.errors import NoPortFree
from preview.runtime import bind_in_range, hold_without_listening


def free_base() -> int:
    with bind_in_range("127.0.0.1", 24_000, 32_000) as probe:
        return int(probe.getsockname()[1])


def test_the_lowest_free_port_is_taken_and_listens() -> None:
    base = free_base()
    with bind_in_range("127.0.0.1", base, base + 10) as first, bind_in_range("127.0.0.1", base, base + 10) as second:
        assert first.getsockname()[1] == base
        assert second.getsockname()[1] > base
        socket.create_connection(first.getsockname(), timeout=5).close()


def test_a_port_is_free_again_when_its_socket_is_closed_although_connections_linger() -> None:
    base = free_base()
    with bind_in_range("127.0.0.1", base, base) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=5)
        accepted, _ = listener.accept()
        accepted.close()
        client.close()
    bind_in_range("127.0.0.1", base, base).close()


def test_a_full_range_is_said_with_its_bounds() -> None:
    base = free_base()
    with bind_in_range("127.0.0.1", base, base), pytest.raises(NoPortFree, match=f"{base} to {base}") as caught:
        bind_in_range("127.0.0.1", base, base)
    assert caught.value.details == {"port_min": base, "port_max": base}


def test_the_socket_is_not_inherited_by_accident() -> None:
    with bind_in_range("127.0.0.1", 24_000, 32_000) as listener:
        assert not listener.get_inheritable()


def test_an_address_that_is_not_ours_is_an_error_not_a_full_range() -> None:
    with pytest.raises(OSError, match=r"[Aa]ssign"):
        bind_in_range("203.0.113.1", 24_000, 24_010)


def test_a_port_that_is_held_is_not_tried() -> None:
    base = free_base()
    with bind_in_range("127.0.0.1", base, base + 10, held={base}) as listener:
        assert listener.getsockname()[1] > base


def test_a_held_port_lets_a_server_listen_and_refuses_who_does_not_share() -> None:
    with bind_in_range("127.0.0.1", 24_000, 32_000) as held:
        hold_without_listening(held)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(held.getsockname(), timeout=5)
        with socket.socket() as plain, pytest.raises(OSError, match="in use"):
            plain.bind(held.getsockname())
        with socket.create_server(held.getsockname()):
            socket.create_connection(held.getsockname(), timeout=5).close()
