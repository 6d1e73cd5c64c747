"""Sign-in at an identity provider in a real browser, also at a certified one (``oidc-provider`` of npm)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from page_kit import free_port, run_service, visit
from playwright.sync_api import Browser, expect

SECRET = "a secret & more"
PROVIDER = """
import { Provider } from "oidc-provider";
const [issuer, callback, secret] = process.argv.slice(2);
const provider = new Provider(issuer, {
  clients: [{ client_id: "preview", client_secret: secret, redirect_uris: [callback] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@${id === "eve" ? "other.example" : "example.com"}`, email_verified: true }),
  }),
  pkce: { required: () => true },
});
provider.listen(Number(new URL(issuer).port), "127.0.0.1", () => console.log("ready"));
"""


def test_why_a_sign_in_failed_is_said_on_the_page(browser: Browser, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with (
        run_service(tmp_path, PREVIEW_OIDC_ISSUER=nobody, PREVIEW_OIDC_CLIENT_ID="preview") as running,
        visit(browser, width=390) as seen,
    ):
        seen.page.goto(running.url)
        seen.page.get_by_role("link", name=f"Sign in with {nobody.removeprefix('http://')}").click()
        expect(seen.page.get_by_text("Your identity provider is not available")).to_be_visible()
        # It is said once, and other ways in are there.
        assert "login" not in seen.page.url
        seen.sign_in(running, "ann")
        assert not seen.violations


def test_an_invited_person_joins_by_a_click(browser: Browser, tmp_path: Path) -> None:
    with run_service(tmp_path, PREVIEW_OPERATORS="olga") as running:
        with visit(browser) as seen:
            seen.page.goto(running.url)
            seen.sign_in(running, "olga")
            seen.page.get_by_role("button", name="Account of olga").click()
            seen.page.get_by_role("tab", name="Operator").click()
            seen.page.get_by_label("Invite", exact=True).fill("Anna")
            seen.page.get_by_role("button", name="Create link").click()
            link = seen.page.get_by_text("/#/invite/inv_").text_content() or ""
            assert not seen.violations
        with visit(browser) as seen:
            seen.page.goto(link)
            seen.page.get_by_label("Your name").fill("Anna <b>")
            seen.page.get_by_role("button", name="Join").click()
            expect(seen.page.get_by_role("button", name=re.compile("Account of invited:anna-b-"))).to_be_visible()
            # Neither the address nor a reload has the code any more.
            assert "invite" not in seen.page.url
            seen.page.reload()
            expect(seen.page.get_by_role("button", name=re.compile("Account of invited:anna-b-"))).to_be_visible()
            # The link again: nobody is signed out without a click, and it was good once.
            seen.page.goto(link)
            expect(seen.page.get_by_text("You are signed in as invited:anna-b-")).to_be_visible()
            seen.page.get_by_role("button", name="Join").click()
            expect(seen.page.get_by_role("alert")).to_contain_text("ask its sender for a new one")
            seen.page.get_by_role("button", name="Keep my current account").click()
            expect(seen.page.get_by_role("button", name=re.compile("Account of invited:anna-b-"))).to_be_visible()
            assert not seen.violations


@pytest.mark.long
@pytest.mark.skipif(shutil.which("npm") is None, reason="no Node")
def test_a_certified_provider_signs_people_in(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "provider"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    (folder / "main.mjs").write_text(PROVIDER)
    npm = ["npm", "install", "--no-audit", "--no-fund", "oidc-provider@9"]
    subprocess.run(npm, check=True, capture_output=True, cwd=folder, timeout=600)
    issuer = f"http://127.0.0.1:{free_port()}"
    settings = {
        "PREVIEW_OIDC_ISSUER": issuer,
        "PREVIEW_OIDC_CLIENT_ID": "preview",
        "PREVIEW_OIDC_CLIENT_SECRET": SECRET,
        "PREVIEW_OIDC_USER_CLAIM": "email",
        "PREVIEW_OIDC_USERS": "*@example.com",
    }
    with run_service(tmp_path, **settings) as running:
        command = ["node", "main.mjs", issuer, f"{running.url}/login/oidc/callback", SECRET]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as provider:
            try:
                assert provider.stdout is not None
                assert any(line == "ready\n" for line in provider.stdout)
                for name, button in (("anna", "Account of anna@example.com"), ("eve", None)):
                    with visit(browser) as seen:
                        page = seen.page
                        page.goto(running.url)
                        page.get_by_role("link", name="Sign in with").click()
                        page.get_by_placeholder("Enter any login").fill(name)
                        page.get_by_placeholder("and password").fill("x")
                        page.get_by_role("button", name="Sign-in").click()
                        page.get_by_role("button", name="Continue").click()
                        if button is not None:
                            expect(page.get_by_role("button", name=button)).to_be_visible()
                        else:
                            expect(page.get_by_text("but you have no access to this service")).to_be_visible()
            finally:
                provider.kill()
