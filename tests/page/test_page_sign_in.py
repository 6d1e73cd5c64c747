"""Sign-in at an identity provider in a real browser, also at a certified one (``oidc-provider`` of npm)."""

from __future__ import annotations

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
        expect(seen.page.get_by_text("Your identity provider cannot be used now")).to_be_visible()
        # It is said once, and other ways in are there.
        assert "login" not in seen.page.url
        seen.sign_in(running, "ann")
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
                            expect(page.get_by_text("but may not use this service")).to_be_visible()
            finally:
                provider.kill()
