from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.errors import ConfigurationError
from preview.http.browser.addresses import PreviewAddresses
from preview.settings import load_settings

ID = "preview_23456789abcdefgh"
LABEL = ID.replace("_", "-")
PLAIN = PreviewAddresses(load_settings())
DOMAIN = PreviewAddresses(load_settings(domain="previews.example"))
PATH_HOST = PreviewAddresses(load_settings(path_host="user.example"))


@pytest.mark.parametrize(
    "host", [f"{LABEL}.localhost", f"{LABEL}.localhost:8000", f"{ID}.localhost", f"{LABEL.upper()}.LocalHost.:80"]
)
def test_a_host_names_its_preview_in_any_spelling(host: str) -> None:
    place = PLAIN.find(host, b"/x?y")
    assert place is not None
    assert (place.preview_id, place.target, place.prefix, place.shares_origin) == (ID, b"/x?y", "", False)


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "a.localhost", "", f"{LABEL}.evil.example"]
)
def test_other_hosts_are_the_service_s(host: str) -> None:
    assert PLAIN.find(host, b"/") is None


@pytest.mark.parametrize("target", [b"/p", b"/p/", b"/p/x", b"/p/preview_", b"/px/preview_a/", b"/api/p/preview_a/"])
def test_other_paths_are_the_service_s(target: bytes) -> None:
    assert PLAIN.find("localhost", target) is None


@pytest.mark.parametrize(
    "host", ["x.previews.example", f"a.{LABEL}.previews.example", f"a.{LABEL}.localhost", f"a.{ID}.localhost"]
)
def test_below_a_domain_of_previews_nothing_is_the_service_s(host: str) -> None:
    place = DOMAIN.find(host, b"/api/v1/session")
    assert place is not None
    assert place.preview_id is None


def test_a_mounted_service_has_previews_below_its_mount() -> None:
    # A host application may leave its own path to us, or take it off.
    for target in (f"/tools/p/{ID}/a", f"/p/{ID}/a"):
        found = PLAIN.find("host.example", target.encode(), "/tools")
        assert found is not None
        assert target.encode()[found.cut :] == found.target == b"/a"
    place = PLAIN.find("host.example", f"/tools/p/{ID}/a".encode(), "/tools")
    assert place is not None
    assert (place.preview_id, place.target, place.prefix) == (ID, b"/a", f"/tools/p/{ID}")
    assert PLAIN.address(ID, "https", "localhost", "/tools") == f"https://localhost/tools/p/{ID}"


@pytest.mark.parametrize(
    ("places", "host", "address"),
    [
        (PLAIN, "127.0.0.1:8000", f"http://{LABEL}.localhost:8000"),
        (PLAIN, "[::1]:8000", f"http://{LABEL}.localhost:8000"),
        (PLAIN, "localhost", f"http://{LABEL}.localhost"),
        (PLAIN, "10.0.0.5:8000", f"http://10.0.0.5:8000/p/{ID}"),
        (DOMAIN, "service.example:8443", f"http://{LABEL}.previews.example:8443"),
        (PATH_HOST, "service.example:8443", f"http://user.example:8443/p/{ID}"),
    ],
)
def test_a_preview_s_address_is_one_that_whoever_asks_can_reach(
    places: PreviewAddresses, host: str, address: str
) -> None:
    assert places.address(ID, "http", host) == address
    parts = urlsplit(f"{address}/x")
    found = places.find(parts.netloc, parts.path.encode())
    assert found is not None
    assert (found.preview_id, found.target) == (ID, b"/x")


@given(st.text(max_size=80), st.binary(max_size=80), st.sampled_from([PLAIN, DOMAIN, PATH_HOST]))
def test_any_host_and_target_is_a_place_or_none(host: str, target: bytes, places: PreviewAddresses) -> None:
    place = places.find(host, b"/" + target)
    if place is not None:
        assert place.target.startswith(b"/")
        assert place.preview_id is None or re.fullmatch("preview_[a-z0-9]{1,48}", place.preview_id)
        assert place.redirect is None or place.redirect.startswith(f"/p/{place.preview_id}/".encode())


@pytest.mark.parametrize("domain", ["https://x.example", ".x.example", "*", "10.0.0.1", "x.example:80"])
def test_a_domain_that_is_no_name_is_refused(domain: str) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_DOMAIN"):
        load_settings(domain=domain)


def test_a_domain_and_a_host_for_all_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_PATH_HOST"):
        load_settings(domain="a.example", path_host="b.example")


@pytest.mark.parametrize(
    "own", [{"public_url": "https://Here.a.example/"}, {"allowed_hosts": "other.example,here.a.example"}]
)
def test_a_name_of_the_service_s_own_is_not_given_to_previews(own: dict[str, str]) -> None:
    assert load_settings(domain="b.example", **own).domain == "b.example"
    with pytest.raises(ConfigurationError, match=r"PREVIEW_DOMAIN.*here\.a\.example"):
        load_settings(domain="a.example", **own)
    with pytest.raises(ConfigurationError, match="PREVIEW_PATH_HOST"):
        load_settings(path_host="here.a.example", **own)
