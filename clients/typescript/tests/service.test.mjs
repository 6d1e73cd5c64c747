// The packed client against a real service, whose address and token are in the environment.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Client, InvalidAnswer, InvalidUpload, PreviewProblem } from "@preview/client";
import { readFolder } from "@preview/client/node";

const { PREVIEW_URL: url, PREVIEW_TOKEN: token, CLIENT_APP: app } = process.env;
const MAIN_PY = `
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for " + self.path + "\\n", end="", flush=True)
        if self.path == "/boom":
            raise KeyError("missing")
        body = ('{"path": "' + self.path + '", "mode": "' + os.environ.get("MODE", "none") + '"}').encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`;
const FILES = { "main.py": MAIN_PY, "preview.toml": '[start]\ncommand = ["python", "main.py"]\n' };
const client = new Client(url, { token });

test("a folder is launched, called, changed and stopped", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "client-"));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [path, text] of Object.entries(FILES)) writeFileSync(join(folder, path), text);
  mkdirSync(join(folder, "node_modules"));
  writeFileSync(join(folder, "node_modules", "x.js"), "x");
  writeFileSync(join(folder, "raw.bin"), Buffer.from([0xff, 0]));
  const files = await readFolder(folder);
  assert.deepEqual(Object.keys(files), ["main.py", "preview.toml", "raw.bin"]);
  symlinkSync("/etc/hostname", join(folder, "out"));
  await assert.rejects(readFolder(folder), InvalidUpload);

  const preview = await client.launch(files, { name: "shop", env: { MODE: "typed" }, wait: 60 });
  assert.equal((await preview.waitReady()).status, "running");
  const answer = await preview.request("GET", "/books", { query: { page: "2" } });
  assert.deepEqual([answer.status, answer.json()], [200, { path: "/books?page=2", mode: "typed" }]);
  assert.deepEqual((await answer.lines()).map((line) => line.message), ["asked for /books?page=2"]);
  const raw = new Uint8Array([0, 255, 10]);
  assert.deepEqual((await preview.request("POST", "/x", { body: raw })).bytes, raw);

  const changed = await preview.reload({ "main.py": MAIN_PY.replace('"mode"', '"changed"') });
  assert.deepEqual([changed.changed, changed.reload.status], [["main.py"], "reloaded"]);
  assert.equal((await preview.request("GET", "/")).json().changed, "typed");
  assert.deepEqual((await preview.reload(files, { replace: true, remove: [] })).removed, []);
  const saved = await preview.snapshot("first");
  assert.deepEqual((await preview.snapshots()).map((one) => one.name), ["first"]);
  assert.equal((await preview.restore(saved)).before.kind, "before_restore");
  assert.equal((await preview.setEnv({ MODE: "set" })).effective[0].value, "set");
  assert.equal((await preview.setEnv({}, ["MODE"])).effective.length, (await preview.env()).effective.length);
  assert.equal((await preview.requests({ limit: 1 })).items[0].target, "/");
  await assert.rejects(preview.request("GET", "/boom"), (error) => error.code === "upstream_failed");
  let failures = [];
  for (let left = 50; failures.length === 0 && left > 0; left -= 1) failures = await preview.failures();
  assert.equal(failures[0].type, "KeyError");
  assert.match(await preview.failureText(failures[0]), /KeyError/);
  assert.equal((await client.previews()).previews[0].generation_id, preview.generationId);

  const seen = [];
  for await (const event of preview.logs()) {
    seen.push(event);
    if (event.type === "line" && event.message.startsWith("asked for /boom")) await preview.stop();
  }
  const numbers = seen.filter((one) => one.type === "line").map((one) => one.seq);
  assert.deepEqual(numbers, numbers.map((_, index) => index + 1));
  assert.equal(seen.at(-1).type, "end");
  await preview.stop();
  await preview.remove();
  await assert.rejects(preview.status(), (error) => error instanceof PreviewProblem && error.code === "generation_not_found");
});

test("a broken log goes on after the last line", async () => {
  let cuts = 0;
  const asked = [];
  // Each connection is cut after its first lines, as by a network that fails.
  const cutting = async (input, init) => {
    const response = await fetch(input, init);
    if (!String(input).includes("/logs/stream") || response.status !== 200 || cuts >= 3) return response;
    cuts += 1;
    asked.push(init.headers["Last-Event-ID"]);
    const reader = response.body.getReader();
    let left = 2;
    const body = new ReadableStream({
      async pull(controller) {
        const { value, done } = await reader.read();
        if (done) return controller.close();
        controller.enqueue(value);
        left -= 1;
        if (left === 0) controller.error(new TypeError("terminated"));
      },
      cancel: (reason) => reader.cancel(reason),
    });
    return new Response(body, { status: 200 });
  };
  const flaky = new Client(url, { token, fetch: cutting });
  const preview = await flaky.launch(FILES, { wait: 60 });
  const numbers = [];
  for await (const event of preview.logs({ resumePausesMs: [0, 0, 0, 0] })) {
    if (event.type !== "line") continue;
    numbers.push(event.seq);
    if (cuts < 3) await preview.request("GET", `/${event.seq}`);
    else await preview.stop();
  }
  assert.ok(cuts === 3 && asked.some((one) => one !== undefined));
  assert.deepEqual(numbers, numbers.map((_, index) => index + 1));
});

test("errors have a code, and a refused token is one", async () => {
  const stranger = new Client(url, { token: "nonsense" });
  await assert.rejects(stranger.previews(), (error) => error instanceof PreviewProblem && error.code === "unauthenticated");
  await assert.rejects(client.launch({}), InvalidUpload);
  const failing = { ...FILES, "main.py": "raise SystemExit(3)" };
  await assert.rejects(client.launch(failing, { wait: 30 }), (error) => {
    assert.equal(error.code, "launch_failed");
    assert.ok(error.details.generation_id);
    return true;
  });
  const elsewhere = new Client(url, { token, fetch: async () => new Response(null, { status: 302, headers: { location: "http://x/" } }) });
  await assert.rejects(elsewhere.previews(), InvalidAnswer);
});

test("it works in a page", async () => {
  const { chromium } = createRequire(process.env.PLAYWRIGHT_FROM)("playwright-core");
  const program = process.env.PREVIEW_TEST_CHROMIUM ?? "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    const imports = { "@preview/client": "/modules/@preview/client/dist/index.js", "eventsource-parser": "/modules/eventsource-parser/dist/index.js" };
    const html = `<script type="importmap">${JSON.stringify({ imports })}</script>`;
    await page.route("**/modules/**", (route) => {
      const path = new URL(route.request().url()).pathname.replace("/modules/", "");
      return route.fulfill({ contentType: "text/javascript", body: readFileSync(join(app, "node_modules", path)) });
    });
    await page.route("**/a-page", (route) => route.fulfill({ contentType: "text/html", body: html }));
    await page.goto(`${url}/a-page`);
    const seen = await page.evaluate(
      async ([files, key]) => {
        const { Client } = await import("@preview/client");
        const preview = await new Client("", { token: key }).launch(files, { wait: 60 });
        const answer = (await preview.request("GET", "/page")).json();
        const kinds = [];
        for await (const event of preview.logs()) {
          kinds.push(event.type);
          if (event.type === "line" && event.message === "asked for /page") await preview.stop();
        }
        return { answer, last: kinds.at(-1), lines: kinds.filter((one) => one === "line").length };
      },
      [FILES, token],
    );
    assert.deepEqual([seen.answer.path, seen.last], ["/page", "end"]);
    assert.ok(seen.lines > 1);
  } finally {
    await browser.close();
  }
});
