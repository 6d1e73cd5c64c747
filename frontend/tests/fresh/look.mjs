// A server-rendered page in Chromium: hydrated without a warning, and legible in a page with rules and patches of its own.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const { chromium } = createRequire(process.env.PLAYWRIGHT_FROM)("playwright-core");
const program =
  process.env.PREVIEW_TEST_CHROMIUM ||
  execFileSync("sh", ["-c", "command -v chromium || command -v chromium-browser"], { encoding: "utf8" }).trim();
const wrong = [];
// React's warnings of what it renders on a server.
console.error = (...said) => wrong.push(`server: ${String(said[0]).split("\n")[0]}`);
const { stream } = await import("./server/server.js");
const manifest = JSON.parse(readFileSync("dist-dev/.vite/manifest.json", "utf8"));
const entry = manifest["hydrate.jsx"];
const HOST_STYLE = `
  * { line-height: 3; letter-spacing: 9px; }
  body main#host.host button { font-size: 40px; padding: 30px; color: lime; background: lime; border: 9px solid; }
  .host.host div, .host.host span { color: lime; background: lime; position: static; display: inline; font-size: 2px; }
  .host.host input { width: 3px; opacity: 0.1; }
  .host.host svg { width: 90px; height: 90px; }`;
const HOST_SCRIPT = `
  Array.prototype.extra = function () { return this; };
  Object.defineProperty(Object.prototype, "more", { value: "of the page" });
  const find = Array.prototype.find;
  Array.prototype.find = function (...given) { return find.apply(this, given); };
  const request = globalThis.fetch;
  globalThis.fetch = (...given) => request(...given);
  window.addEventListener("keydown", () => {});`;
const INSTANCE = {
  id: "p1",
  generation_id: "gen_1",
  status: "running",
  health: "healthy",
  base_url: null,
  reason: null,
  started_at: "2026-11-20T12:00:00Z",
  expires_at: "2099-11-20T12:00:00Z",
};
const STREAM =
  'event: status\ndata: {"id":"p1","status":"running","health":"healthy","reason":null,"timestamp":"2026-11-20T12:00:00Z"}\n\n' +
  [1, 2, 3]
    .map(
      (seq) =>
        `id: ${seq}\ndata: {"timestamp":"2026-11-20T12:00:00Z","level":"INFO","source":"subprocess","message":"line ${seq}"}\n\n`,
    )
    .join("");

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://host");
  if (pathname.startsWith("/assets/")) {
    const kind = pathname.endsWith(".css") ? "text/css" : "text/javascript";
    return response.setHeader("Content-Type", kind).end(readFileSync(join("dist-dev", pathname)));
  }
  if (pathname.endsWith("/logs/stream")) {
    return response.setHeader("Content-Type", "text/event-stream").write(STREAM);
  }
  if (/gen_1.preview$|preview.status$/.test(pathname)) {
    return response.setHeader("Content-Type", "application/json").end(JSON.stringify(INSTANCE));
  }
  if (pathname.endsWith("/diagnosis")) return response.setHeader("Content-Type", "application/json").end("null");
  if (pathname.startsWith("/api/")) {
    const empty = {
      previews: [INSTANCE],
      endpoints: [],
      items: [],
      next: null,
      files: [],
      services: [],
      databases: [],
      unread: [],
      diagnosis: null,
    };
    return response.setHeader("Content-Type", "application/json").end(JSON.stringify(empty));
  }
  if (pathname !== "/" && pathname !== "/hostile") return response.writeHead(404).end();
  const isHostile = pathname === "/hostile";
  const sheets = (entry.css ?? []).map((one) => `<link rel="stylesheet" href="/${one}">`).join("");
  response
    .setHeader("Content-Type", "text/html; charset=utf-8")
    .end(
      `<!doctype html><html lang="en"><head><title>Host</title><link rel="icon" href="data:,">${sheets}` +
        (isHostile ? `<style>${HOST_STYLE}</style><script>${HOST_SCRIPT}</script>` : "") +
        `</head><body><main id="host" class="host"><div id="app">${await stream(origin)}</div></main>` +
        `<script type="module" src="/${entry.file}"></script></body></html>`,
    );
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox", "--disable-gpu"] });

/** The looks of all parts below an element. */
function looksOf(root) {
  const looks = (one) => {
    const { color, backgroundColor, fontSize, lineHeight, display, position, letterSpacing, opacity } =
      getComputedStyle(one);
    const { width, height } = one.getBoundingClientRect();
    const size = `${Math.round(width)}x${Math.round(height)}`;
    return { color, backgroundColor, fontSize, lineHeight, display, position, letterSpacing, opacity, size };
  };
  return [...root.querySelectorAll("*:not(svg, svg *)")].map((one) => [
    `${one.localName}.${one.className}`,
    looks(one),
  ]);
}

/** What three looks in a row agree on: styles follow an event by some frames. */
async function settled(look) {
  let [shown, times] = [await look(), 1];
  for (let left = 100; times < 3 && left > 0; left -= 1) {
    await new Promise((later) => setTimeout(later, 100));
    const now = await look();
    times = JSON.stringify(now) === JSON.stringify(shown) ? times + 1 : 1;
    shown = now;
  }
  return shown;
}

/** What the page shows, once its lines are there. */
async function look(path) {
  const page = await browser.newPage({ reducedMotion: "reduce" });
  page.on("console", (said) => ["error", "warning"].includes(said.type()) && wrong.push(`${path}: ${said.text()}`));
  page.on("pageerror", (error) => wrong.push(`${path}: ${error}`));
  await page.goto(origin + path);
  const terminal = page.getByRole("region", { name: "Log", exact: true });
  await terminal.getByText("line 3").waitFor();
  await page.getByText("En direct").first().waitFor();
  await page.waitForFunction(() => globalThis.lastLine === 3 && globalThis.lastStatus === "running");
  await terminal.getByRole("button", { name: "Filtrer" }).click();
  await terminal.getByRole("group", { name: "Levels" }).waitFor();
  await terminal.getByRole("button", { name: "Errors", pressed: true }).waitFor();
  // No part may look different because the pointer is above it.
  await page.mouse.move(0, 0);
  const shown = await settled(() => terminal.evaluate(looksOf));
  const tools = await terminal.getByRole("toolbar").getByRole("button").count();
  if (tools !== 2) wrong.push(`${path}: ${tools} tools, not 2`);
  const picture = process.env.PICTURES && join(process.env.PICTURES, `library${path.replace("/", "-")}.png`);
  if (picture) await page.screenshot({ path: picture });
  await page.close();
  return shown;
}

try {
  const calm = await look("/");
  const hostile = await look("/hostile");
  if (calm.length !== hostile.length) wrong.push(`${calm.length} elements, and ${hostile.length} in the hostile page`);
  for (const [at, [name, style]] of calm.entries()) {
    const other = hostile[at]?.[1] ?? {};
    const changed = Object.keys(style).filter((key) => style[key] !== other[key]);
    if (changed.length)
      wrong.push(`${name}: ${changed.map((key) => `${key} ${style[key]} -> ${other[key]}`).join(", ")}`);
  }
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
if (wrong.length) {
  process.stderr.write(`${wrong.slice(0, 40).join("\n")}\n`);
  process.exit(1);
}
console.log(`React ${process.argv[2]}: hydrated in Chromium without a warning; the same in a page with strong rules`);
