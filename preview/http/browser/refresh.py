"""The addresses behind the script of ``preview.proxy.page_refresh``: the script, and a wait for the next process."""

from __future__ import annotations

import re
from collections import Counter

from preview.errors import PreviewNotFound
from preview.http.backend import Backend
from preview.http.browser.addresses import RESERVED
from preview.http.browser.pages import json_answer
from preview.http.browser.visitors import Visitor, may_look
from preview.proxy.admission import OwnAnswer, RequestHead
from preview.supervisor import LivePreview

# Shorter than the request timeouts of proxies and browsers.
_POLL_S = 20.0
# Open tabs that are in sight, of all visitors of one preview and of all previews.
MAX_PER_PREVIEW = 16
MAX_TOTAL = 1_000
_RETRY_AFTER_S = 15
_SCRIPT_PATH = RESERVED + b"refresh.js"
_WAIT_PATH = RESERVED + b"refresh"
_AFTER = re.compile(rb"after=(\d{1,9})")

# Only a tab in sight waits: a browser has few connections for one host. A tab that comes into sight asks at once.
_SCRIPT = b"""(() => {
  const address = document.currentScript.src.replace(/refresh\\.js$/, "refresh");
  let version = null;
  let waiting = null;
  async function ask() {
    const query = version === null ? "" : "?after=" + version;
    const answer = await fetch(address + query, { cache: "no-store", signal: waiting.signal });
    if (answer.status === 429 || answer.status >= 500) throw new Error("busy");
    if (!answer.ok) return false;
    const found = (await answer.json()).version;
    if (version !== null && found !== version) {
      location.reload();
      return false;
    }
    version = found;
    return true;
  }
  async function listen() {
    if (document.hidden) {
      if (waiting) waiting.abort();
      waiting = null;
      return;
    }
    if (waiting) return;
    const mine = (waiting = new AbortController());
    let pause = 1000;
    while (waiting === mine) {
      try {
        if (!(await ask())) return;
        pause = 1000;
      } catch {
        if (waiting !== mine) return;
        await new Promise((done) => setTimeout(done, pause));
        pause = Math.min(2 * pause, 30000);
      }
    }
  }
  document.addEventListener("visibilitychange", listen);
  listen();
})();
"""


def is_refresh(target: bytes) -> bool:
    """Return whether the target, without the prefix, is one of these addresses."""
    return target.partition(b"?")[0] in {_SCRIPT_PATH, _WAIT_PATH}


class BrowserRefresh:
    """Tells open tabs that a preview has a new process. Their waits do not count as the preview's activity."""

    def __init__(self) -> None:
        # Bounded by ``MAX_TOTAL``: no entry is zero.
        self._waiting: Counter[str] = Counter()

    async def answer(
        self, head: RequestHead, target: bytes, preview: LivePreview | None, visitor: Visitor, backend: Backend
    ) -> OwnAnswer:
        """Return the script, or the number of the preview's process: at once, or once it is not ``after``.

        Raises:
            PreviewNotFound: There is no such preview for this visitor, or nothing at this address.

        Cancellation: the wait ends.
        """
        path, _, query = target.partition(b"?")
        if head.method not in {"GET", "HEAD"} or not backend.settings.browser_reload:
            raise PreviewNotFound("There is nothing at this address of the service.")
        if path == _SCRIPT_PATH:
            return _script()
        is_known = preview is not None and preview.outcome is None and may_look(visitor, preview, backend.access)
        if preview is None or not is_known or _is_foreign(head):
            raise PreviewNotFound("There is no such preview here, or it has ended.")
        after = _AFTER.fullmatch(query)
        if after is not None and int(after[1]) == preview.restarts and not await self._wait(preview, backend):
            return _busy()
        return json_answer({"version": preview.restarts})

    async def _wait(self, preview: LivePreview, backend: Backend) -> bool:
        """Wait for the next process, or a time limit; return False if too many wait already."""
        if self._waiting[preview.id] >= MAX_PER_PREVIEW or self._waiting.total() >= MAX_TOTAL:
            return False
        self._waiting[preview.id] += 1
        try:
            with backend.waits.until(_POLL_S):
                await preview.restarted.wait()
        finally:
            self._waiting[preview.id] -= 1
            self._waiting += Counter()
        return True


def _is_foreign(head: RequestHead) -> bool:
    """Return whether a page of another origin asks. Browsers that do not say so send it no cookie either (SameSite)."""
    return any(name == b"sec-fetch-site" and value != b"same-origin" for name, value in head.fields)


def _script() -> OwnAnswer:
    fields = [
        (b"content-type", b"text/javascript; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-content-type-options", b"nosniff"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    return OwnAnswer(200, fields, _SCRIPT)


def _busy() -> OwnAnswer:
    answer = json_answer({"detail": "Too many tabs are waiting for this preview; try again later."}, 429)
    return OwnAnswer(429, [*answer.fields, (b"retry-after", str(_RETRY_AFTER_S).encode())], answer.body)
