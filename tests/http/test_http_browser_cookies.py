from __future__ import annotations

from preview.http.browser.addresses import PreviewTarget
from preview.http.browser.visitors import access_cookie

HOST, PATH = PreviewTarget("preview_a", b"/"), PreviewTarget("preview_a", b"/", "/p/preview_a", shares_origin=True)


def test_over_tls_no_other_host_can_set_the_cookie_of_access() -> None:
    name, value = access_cookie("x", 60.5, "https", HOST)
    assert (name, value) == (
        b"set-cookie",
        b"__Host-preview_access=x; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure",
    )


def test_in_the_path_form_the_cookie_is_for_the_preview_s_path() -> None:
    _, value = access_cookie("x", 60, "https", PATH)
    assert value.startswith(b"__Secure-preview_access=x; Max-Age=60; Path=/p/preview_a/; ")
