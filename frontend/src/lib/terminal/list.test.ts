import { describe, expect, test } from "vitest";

import { LogRows } from "../logs/rows";
import { runsOf } from "../logs/sgr";
import { LogStore } from "../logs/store";
import { LogView } from "../logs/view";
import { line } from "../testing";
import { inEnglish } from "../texts/translate";
import { Heights } from "./heights";
import { lineElement } from "./lineElement";
import { LOG_KEYS, lineOfKey } from "./logKeys";
import { notesIn } from "./notes";
import { nearest } from "./useSearch";

const LOOK = {
  ...{ theme: "dark" as const, pattern: null, isMarked: false, isChosen: false, isCurrent: false },
  ...{ head: null, frame: null, canOpen: false, isOpen: false, columns: [] as readonly string[] },
};

describe("the heights of rows", () => {
  test("agree with the sum of all rows, whatever was measured, forgotten and asked", () => {
    const heights = new Heights(20);
    const known = new Map<number, number>();
    const of = (position: number): number => known.get(position) ?? 20;
    let seed = 7;
    const random = (most: number): number => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % most;
    let first = -700;
    const end = 2_000;
    for (let round = 0; round < 300; round += 1) {
      const at = first + random(end - first);
      known.set(at, 20 + 20 * random(5));
      heights.set(at, of(at));
      if (round % 50 === 49) heights.forgetBefore((first += 200));
      const position = first + random(end - first);
      let px = 0;
      for (let one = first; one < position; one += 1) px += of(one);
      expect(heights.offset(first, position)).toBe(px);
      expect(heights.at(first, end, px)).toBe(position);
      expect(heights.at(first, end, px + of(position) - 1)).toBe(position);
    }
    expect(heights.at(first, end, 1e9)).toBe(end - 1);
    expect(heights.at(first, end, -5)).toBe(first);
  });
});

describe("a row", () => {
  test("has no markup of the output, and links to web addresses only", () => {
    const row = lineElement(
      inEnglish,
      line(1, "<img src=x onerror=alert(1)> javascript:alert(1) https://a.example/b). end"),
      LOOK,
    );
    expect(row.querySelectorAll("img, script")).toHaveLength(0);
    expect([...row.querySelectorAll("a")].map((one) => one.href)).toEqual(["https://a.example/b"]);
    expect(row.querySelector("a")?.rel).toBe("noopener noreferrer");
    expect(row.lastElementChild?.textContent).toContain("<img src=x onerror=alert(1)>");
  });

  test("has a bounded number of parts, however often its colour changes or its search is met", () => {
    const row = lineElement(inEnglish, line(1, "\u001b[31ma\u001b[32mb".repeat(5_000)), { ...LOOK, pattern: /a/g });
    expect(row.querySelectorAll("*").length).toBeLessThan(1_500);
    expect(row.lastElementChild?.textContent).toHaveLength(10_000);
  });

  test("shows colours, and what else could act unseen as escapes", () => {
    expect(runsOf("a\u001b[1;38;5;196mb\u001b[0mc\u001b[2J\u202e")).toEqual([
      { text: "a", style: {} },
      { text: "b", style: { bold: true, fg: [255, 0, 0] } },
      { text: "c\\u001b[2J\\u202e", style: {} },
    ]);
  });
});

test("a JSON line is its message and values, and a tree with terms for the filter once opened", () => {
  const text = '{"level":"info","message":"order <b>placed</b>","user":{"id":7,"name":"A B"},"items":[1],"x\u001b":2}';
  const closed = lineElement(inEnglish, line(1, text), LOOK).lastElementChild;
  expect(closed?.textContent).toBe(
    'order <b>placed</b> user={"id":7,"name":"A B"} items=[1] x\\u001b=2'.replace("\\\\", "\\"),
  );
  const open = lineElement(inEnglish, line(1, text), { ...LOOK, isOpen: true });
  expect(open.querySelectorAll("b, img")).toHaveLength(0);
  const terms = [...open.querySelectorAll<HTMLElement>("[data-term]")].map((one) => one.dataset["term"]);
  expect(terms).toContain("@user.id:7");
  expect(terms).toContain('-@user.name:"A B"');
  expect(terms.some((one) => one?.includes("items") || one?.includes("x"))).toBe(false);
  for (const other of ["{broken}", "{}", "[1]", `{"a":"${"x".repeat(20_000)}"}`])
    expect(lineElement(inEnglish, line(1, other), LOOK).querySelector("[data-json]")).toBeNull();
  const many = `{${Array.from({ length: 2_000 }, (_, at) => `"k${at}":1`).join()}}`.slice(0, 16_000);
  expect(lineElement(inEnglish, line(1, many), { ...LOOK, isOpen: true }).querySelectorAll("*").length).toBeLessThan(
    1_500,
  );
});

test("a folded row has the marks of its lines", () => {
  const marks = new Map([
    [9, "Alert: slow"],
    [4, "1 comment"],
    [12, "2 comments"],
  ]);
  expect(notesIn(marks, 4, 4)).toBe("1 comment");
  expect(notesIn(marks, 4, 9)).toBe("1 comment; Alert: slow");
  expect(notesIn(marks, 5, 0)).toBeUndefined();
  expect(notesIn(marks, 5, 8)).toBeUndefined();
});

test("a line with comments has a mark with words, outside of what output can write", () => {
  const row = lineElement(inEnglish, line(1, "text"), { ...LOOK, note: "2 comments" });
  expect(row.querySelector("[role=img]")?.getAttribute("aria-label")).toBe("2 comments");
  expect(row.lastElementChild?.querySelector("[role=img]")).toBeNull();
  expect(lineElement(inEnglish, line(1, "text"), LOOK).querySelector("[role=img]")).toBeNull();
});

test("a line of standard error has a mark with words, outside of what output can write", () => {
  const row = lineElement(inEnglish, line(1, "text", { stream: "stderr" }), LOOK);
  expect(row.querySelector("[role=img]")?.getAttribute("aria-label")).toBe("Standard error");
  expect(row.lastElementChild?.querySelector("[role=img]")).toBeNull();
});

test("a search begins at the nearest match, and goes around the ends", () => {
  expect(nearest([3, 8, 20], 7, 1)).toBe(1);
  expect(nearest([3, 8, 20], 21, 1)).toBe(0);
  expect(nearest([3, 8, 20], 8, -1)).toBe(0);
  expect(nearest([3, 8, 20], 2, -1)).toBe(2);
});

test("keys lead to the next and previous line of a level, and not beyond the last", () => {
  const store = new LogStore();
  const levels = ["INFO", "ERROR", "WARNING", "INFO", "ERROR"] as const;
  store.append(levels.map((level, at) => ({ ...line(at + 1), level })));
  const view = new LogRows(new LogView(store));
  const from = (at: number, key: string): number | null => {
    const found = lineOfKey(view, key, view.first + at);
    return found === null ? null : found - view.first;
  };
  expect(from(0, "e")).toBe(1);
  expect(from(1, "e")).toBe(4);
  expect(from(4, "e")).toBeNull();
  expect(from(4, "E")).toBe(1);
  expect(from(0, "w")).toBe(2);
  expect(from(2, "W")).toBeNull();
  expect(from(0, "x")).toBeNull();
  expect(LOG_KEYS.length).toBeGreaterThan(0);
});

test("values of JSON lines are columns, which no line can forge or widen", () => {
  const look = { ...LOOK, columns: ["user.id", "__proto__.x", "path", "none"] };
  const made = (message: string) => lineElement(inEnglish, line(1, message), look);
  const evil = made(JSON.stringify({ message: "m", user: { id: "\u202e<img>" }, path: "x".repeat(5_000) }));
  const cells = [...evil.querySelectorAll("[title]")];
  expect(cells.map((one) => (one as HTMLElement).title)).toEqual(["\\u202e<img>", "", "x".repeat(200), ""]);
  expect(evil.querySelector("img")).toBeNull();
  // The value is not said twice.
  expect(made('{"message": "m", "path": "/pay", "n": 1}').textContent).toMatch(/path=\/pay +m n=1/);
  expect(made("no JSON").querySelector("[title]")).toBeNull();
  const open = lineElement(inEnglish, line(1, '{"user": {"id": 7}, "path": "/"}'), { ...look, isOpen: true });
  const buttons = [...open.querySelectorAll<HTMLElement>("[data-column]")];
  expect(buttons.map((one) => [one.dataset["column"], one.getAttribute("aria-pressed")])).toEqual([
    ["user.id", "true"],
    ["path", "true"],
  ]);
});
