import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { describe, expect, test } from "vitest";

import { visible, visibleColoured, visibleWithoutColours } from "./visible";

interface Row {
  text: string;
  shown: string;
}

const file = resolve(import.meta.dirname, "../../../../tests/visible_characters.json");
const table = JSON.parse(readFileSync(file, "utf8")) as { texts: Row[]; coloured: Row[] };

describe("what acts unseen is shown as an escape, as in Python", () => {
  test.each(table.texts)("$shown", ({ text, shown }) => expect(visible(text)).toBe(shown));
  test.each(table.coloured)("with colours: $shown", ({ text, shown }) => expect(visibleColoured(text)).toBe(shown));
  test("without colours", () => {
    expect(visibleWithoutColours("\u001b[32mINFO\u001b[0m: \u001b]0;title\u0007")).toBe("INFO: \\u001b]0;title\\u0007");
  });
});
