import { describe, expect, test } from "vitest";

import type { LogLine } from "../api/types";
import { line } from "../testing";
import { LogRows } from "./rows";
import { isNote, LogStore } from "./store";
import { frameOf, isOpenable, summaryOf } from "./traceback";
import { EVERYTHING, LogView } from "./view";

const COPY = "/srv/data/previews/preview_23456789abcdefgh/project";
const STACK = [
  "Traceback (most recent call last):",
  '  File "/srv/cache/env/lib/python3.12/site-packages/starlette/routing.py", line 73, in app',
  "    response = await f(request)",
  `  File "${COPY}/app/main.py", line 12, in read`,
  "    return BOOKS['x']",
  "           ~~~~~^^^^^",
  "KeyError: 'x'",
];
const NODE = [
  "TypeError: Cannot read properties of undefined (reading 'name')",
  `    at read (${COPY}/server.js:7:15)`,
  "    at Layer.handle (/srv/node_modules/express/lib/router/layer.js:95:5)",
  "    at node:internal/process/task_queues:95:5",
];

const of = (texts: readonly string[], from = 1, more: Partial<LogLine> = {}): LogLine[] =>
  texts.map((text, at) => line(from + at, text, more));
const shown = (rows: LogRows): string[] => {
  rows.sync();
  const found: string[] = [];
  for (let at = rows.first; at < rows.end; at += 1) {
    const entry = rows.at(at);
    const head = rows.headOf(at);
    if (head && !head.isOpen) found.push(`[${head.kind === "stack" ? head.summary.title : head.last.message}]`);
    else found.push(entry && !isNote(entry) ? entry.message : "-");
  }
  return found;
};
const rowsOf = (texts: readonly string[]): LogRows => {
  const store = new LogStore();
  store.append(of(texts));
  return new LogRows(new LogView(store));
};

const BAR = ["  0%|                    | 0/2", " 50%|##########          | 1/2", "100%|####################| 2/2"];

describe("a stack of a failure", () => {
  test("is a few words: the failure, the innermost place of the project, the number of frames", () => {
    expect(summaryOf(STACK)).toEqual({
      title: "KeyError: 'x'",
      place: { path: "app/main.py", line: 12, isOwn: true },
      frames: 2,
    });
    expect(summaryOf(NODE)).toEqual({
      title: NODE[0],
      place: { path: "server.js", line: 7, isOwn: true },
      frames: 3,
    });
  });

  test("names files as people know them", () => {
    const path = (text: string) => frameOf(`  File "${text}", line 3, in f`)?.place;
    expect(path(`${COPY}/a/b.py`)).toMatchObject({ path: "a/b.py", isOwn: true });
    expect(path("/x/lib/python3.12/site-packages/fastapi/routing.py")).toMatchObject({
      path: "fastapi/routing.py",
      isOwn: false,
    });
    expect(path("/usr/lib/python3.12/asyncio/runners.py")).toMatchObject({ path: "asyncio/runners.py", isOwn: false });
    expect(path("<frozen importlib._bootstrap>")).toMatchObject({ isOwn: false });
    expect(path("pandas/_libs/index.pyx")).toMatchObject({ isOwn: false });
    expect(frameOf("a line of the program")).toBeNull();
  });

  test("is no way to a file outside the project", () => {
    const place = (path: string) => ({ path, line: 1, isOwn: true });
    expect(isOpenable(place("app/main.py"))).toBe(true);
    for (const path of ["/etc/passwd", "../x.py", "a/../../x.py"]) expect(isOpenable(place(path))).toBe(false);
  });
});

describe("rows", () => {
  test.each([
    ["Python", STACK, "KeyError: 'x'"],
    ["Node", NODE, NODE[0]],
    [
      "a chain",
      [
        ...STACK,
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        ...STACK.slice(0, 6),
        "ValueError: y",
      ],
      "ValueError: y",
    ],
    [
      "a group",
      [
        "  + Exception Group Traceback (most recent call last):",
        '  |   File "main.py", line 1, in <module>',
        "  | ExceptionGroup: many (1 sub-exception)",
        "  +-+---------------- 1 ----------------",
        "    | Traceback (most recent call last):",
        '    |   File "main.py", line 3, in f',
        "    | KeyError: 'inner'",
        "    +------------------------------------",
      ],
      "KeyError: 'inner'",
    ],
    [
      "pydantic",
      [...STACK.slice(0, 3), "pydantic.ValidationError: 2 validation errors for Item", "price", "  Field required"],
      "pydantic.ValidationError: 2 validation errors for Item",
    ],
    [
      "a cause of Node",
      ["Error: outer", "    at a (a.js:1:1) {", "  [cause]: Error: inner", "      at b (b.js:2:2)", "}"],
      "Error: outer",
    ],
  ])("show a stack of %s as one, between its neighbours", (_, texts, title) => {
    expect(shown(rowsOf(["before", ...texts, "INFO: after", ""]))).toEqual(["before", `[${title}]`, "INFO: after", ""]);
  });

  test("end a stack where a line of another request or of the service comes", () => {
    const store = new LogStore();
    store.append([
      ...of(STACK.slice(0, 3), 1, { request_id: "a" }),
      ...of(["  not of it"], 4, { request_id: "b" }),
      ...of(["stopped"], 5, { source: "system" }),
    ]);
    expect(shown(new LogRows(new LogView(store))).slice(1)).toEqual(["  not of it", "stopped"]);
  });

  test("open and close, and keep that for a view with another filter", () => {
    const store = new LogStore();
    store.append(of(["before", ...STACK, "after"]));
    const folding = { isOn: true, toggled: new Set<number>() };
    const rows = new LogRows(new LogView(store), folding);
    expect([0, 1, 2].map((at) => rows.lastSeqOf(rows.first + at))).toEqual([1, 1 + STACK.length, 2 + STACK.length]);
    expect(rows.toggle(rows.first + 1)).toBe(true);
    expect(rows.lastSeqOf(rows.first + 1)).toBe(2);
    expect(shown(rows)).toEqual(["before", ...STACK, "after"]);
    expect(rows.takeChanges().hasMoved).toBe(true);
    expect(rows.frameOf(rows.first + 4)).toMatchObject({ isNamed: true, place: { path: "app/main.py" } });
    expect(rows.frameOf(rows.first + 5)).toMatchObject({ isNamed: false, place: { isOwn: true } });
    expect(shown(new LogRows(new LogView(store, { ...EVERYTHING, levels: ["INFO"] }), folding))).toHaveLength(9);
    expect(rows.toggle(rows.first + 1)).toBe(false);
    expect(shown(rows)).toHaveLength(3);
    expect(rows.uncover(rows.view.first + 4)).toBe(rows.first + 4);
    rows.foldAll(false);
    rows.foldAll(true);
    expect(shown(rows)).toHaveLength(3);
    expect(rows.toggle(rows.first)).toBeNull();
  });

  test("show a progress bar by its last state, and all states once opened", () => {
    const rows = rowsOf(["before", ...BAR, "after", "cpu 5 % of all", "5 of 7 done", "Pass:  1%|", "Fail:  2%|"]);
    expect(rows.end - rows.first).toBe(7);
    const head = rows.headOf(rows.first + 1);
    expect(head).toMatchObject({ kind: "progress", isOpen: false, states: 3, last: { message: BAR[2] } });
    expect(rows.toggle(rows.first + 1)).toBe(true);
    expect(rows.end - rows.first).toBe(9);
    expect(rows.frameOf(rows.first + 2)).toBeNull();
    // Counts of one total, and a spinner, that are drawn again and again.
    const counts = rowsOf(["read 1/30 files", "read 9/30 files", "read 30/30 files", "read 1/7 files", "9/8", "2/3"]);
    expect(shown(counts)).toEqual(["[read 30/30 files]", "read 1/7 files", "9/8", "2/3"]);
    expect(shown(rowsOf(["⠋ installing 1", "⠙ installing 1", "⠹ installing 2", "⠸ linking"]))).toEqual([
      "[⠹ installing 2]",
      "⠸ linking",
    ]);
    expect(shown(rowsOf(["| wait", "/ wait", "- wait", "\\ wait", "- one", "- two"]))).toEqual([
      "[\\ wait]",
      "- one",
      "- two",
    ]);
    // A total of one's own, a path or a date is no progress, nor is what does not grow.
    for (const texts of [
      ["GET /a/1/2", "GET /a/2/2"],
      ["test 3/4 ok", "test 3/4 ok"],
      ["step 2/3", "step 1/3"],
      ["1/2 a", "2/2 b"],
    ])
      expect(shown(rowsOf(texts))).toEqual(texts);
    // Lines of a log that name a share are no progress.
    const log = rowsOf(["12:00:01 disk 70%", "12:00:02 disk 71%", "2026-01-01 at 1%", "2026-01-01 at 2%"]);
    expect(log.end - log.first).toBe(4);
  });

  test("follow a log in which lines come one by one, older ones are fetched, and the oldest go", () => {
    let seed = 11;
    const random = (most: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor(seed / 65_536) % most;
    };
    const texts: string[] = [];
    const parts = [["plain"], STACK, NODE, [...STACK, "", "next"], BAR];
    while (texts.length < 1_500) texts.push(...(parts[random(5)] ?? []));
    const all = of(texts);
    const store = new LogStore({ maxLines: 600 });
    const rows = new LogRows(new LogView(store));
    let [low, high] = [500, 500];
    const opened = new Set<number>();
    for (let round = 0; round < 400 && high < all.length; round += 1) {
      const anchor = rows.end > rows.first ? rows.first + random(rows.end - rows.first) : null;
      const entry = anchor === null ? undefined : rows.at(anchor);
      const kind = random(8);
      if (kind === 0 && low > 0 && store.firstSeq === low + 1) {
        const from = Math.max(0, low - 1 - random(40));
        store.prepend(all.slice(from, low), 1);
        low = from;
      } else if (kind === 1 && entry && rows.toggle(anchor ?? 0) !== null) opened.add(entry.seq);
      else {
        const to = high + 1 + random(9);
        store.append(all.slice(high, to));
        high = to;
      }
      rows.sync();
      low = store.firstSeq - 1;
      const { hasMoved } = rows.takeChanges();
      // A row stays where it is, unless it is said that rows have moved.
      if (!hasMoved && entry && anchor !== null && anchor >= rows.first && entry.seq >= store.firstSeq) {
        const now = rows.at(anchor);
        expect(now === entry || rows.headOf(anchor) !== null).toBe(true);
      }
      // Each line is in one row, in order; rows and positions agree.
      let last = 0;
      let isWell = true;
      for (let row = rows.first; row < rows.end; row += 1) {
        const seq = rows.at(row)?.seq ?? 0;
        isWell &&= seq > last && rows.rowOf(rows.positionAt(row)) === row;
        last = seq;
      }
      expect(isWell).toBe(true);
      expect(rows.rowOf(rows.view.end - 1)).toBe(rows.end - 1);
    }
    expect(opened.size).toBeGreaterThan(5);
    expect(high).toBeGreaterThan(1_200);
  });

  test("cost little for lines that are no stacks, however hostile", () => {
    const hostile = [
      "a".repeat(60_000),
      "    at ".repeat(9_000),
      `  File "${"/".repeat(60_000)}`,
      "| + ".repeat(15_000),
    ];
    const started = process.cpuUsage();
    const rows = rowsOf([STACK[0] ?? "", ...hostile, ...STACK, ...hostile, NODE[0] ?? "", ...hostile]);
    shown(rows);
    expect(process.cpuUsage(started).user).toBeLessThan(500_000);
  });
});
