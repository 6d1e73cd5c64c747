// Sizes of the built pages over bare React, and what the server renders.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMITS_KIB = { hooks: 15, terminal: 110 };
const manifest = JSON.parse(readFileSync("dist/.vite/manifest.json", "utf8"));

/** The scripts that a page fetches; with those that it fetches later, for the terminal. */
function scripts(name, withLater, found = new Set()) {
  const entry = manifest[name];
  if (found.has(entry.file)) return found;
  found.add(entry.file);
  for (const one of entry.imports ?? []) scripts(one, withLater, found);
  if (withLater)
    for (const one of entry.dynamicImports ?? []) if (/PreviewTerminal/.test(one)) scripts(one, true, found);
  return found;
}

function kilobytes(files) {
  return [...files].reduce((sum, file) => sum + gzipSync(readFileSync(`dist/${file}`)).length, 0) / 1024;
}

const bare = kilobytes(scripts("bare.jsx", false));
let isOver = false;
for (const [name, limit] of Object.entries(LIMITS_KIB)) {
  const size = kilobytes(scripts(`${name}.jsx`, true)) - bare;
  console.log(`React ${process.argv[2]}: ${name} ${size.toFixed(1)} KiB gzipped over React, at most ${limit}`);
  isOver ||= size > limit;
}
const { render, version } = await import("./server/server.js");
const html = render();
if (!version.startsWith(`${process.argv[2]}.`)) throw new Error(`another React: ${version}`);
for (const said of ["<p>true 0 false</p>", "Mine", "Loading"]) {
  if (!html.includes(said)) throw new Error(`not rendered on the server: ${said}\n${html}`);
}
console.log(`React ${process.argv[2]}: rendered on the server, ${html.length} characters`);
process.exit(isOver ? 1 : 0);
