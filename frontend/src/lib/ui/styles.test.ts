import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const SOURCE = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const MOST_LINES = 400;

function filesOf(ending: RegExp): string[] {
  const found = readdirSync(SOURCE, { recursive: true, encoding: "utf8" });
  return found.filter((path) => ending.test(path)).map((path) => join(SOURCE, path));
}

/** The classes of a stylesheet. */
function classesOf(path: string): Set<string> {
  const heads = readFileSync(path, "utf8")
    .replace(/\/\*.*?\*\//gs, "")
    .matchAll(/([^{}]+)\{/g);
  return new Set(
    [...heads].flatMap(([, head = ""]) => [...head.matchAll(/\.([A-Za-z_][\w-]*)/g)].map(([, name]) => name ?? "")),
  );
}

test("each class that a component names is in its stylesheet", () => {
  const missing = filesOf(/(?<!\.test)\.tsx?$/).flatMap((path) => {
    const text = readFileSync(path, "utf8");
    return [...text.matchAll(/^import (\w+) from "(\..*\.module\.css)";$/gm)].flatMap(([, name = "", sheet = ""]) => {
      const known = classesOf(resolve(dirname(path), sheet));
      return [...text.matchAll(new RegExp(`(?<![\\w/.])${name}\\.(\\w+)`, "g"))]
        .map(([, one]) => one ?? "")
        .filter((one) => !known.has(one))
        .map((one) => `${relative(SOURCE, path)}: ${name}.${one}`);
    });
  });
  expect(missing).toEqual([]);
});

test("a stylesheet has one concept", () => {
  const long = filesOf(/\.css$/).filter((path) => readFileSync(path, "utf8").split("\n").length > MOST_LINES);
  expect(long.map((path) => relative(SOURCE, path))).toEqual([]);
});
