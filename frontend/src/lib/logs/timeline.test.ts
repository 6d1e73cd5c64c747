import { describe, expect, test } from "vitest";

import { line } from "../testing";
import { LogStore } from "./store";
import { EVERYTHING, LogView } from "./view";
import { bucketsOf, MOST_BUCKETS, rangeTerms, Timeline } from "./timeline";

const at = (second: number): string => new Date(Date.UTC(2026, 0, 1, 10, 0, second, 123)).toISOString();

describe("the timeline of a log", () => {
  test("counts each line once, by level, source and time, while lines come, are fetched, and go", () => {
    const store = new LogStore({ maxLines: 50 });
    const timeline = new Timeline(store);
    const make = (seq: number) =>
      line(seq, "x", {
        timestamp: at(seq),
        level: seq % 5 === 0 ? "ERROR" : "INFO",
        source: seq % 2 ? "system" : "subprocess",
      });
    store.append([make(20), make(21)]);
    expect(timeline.counts().levels).toMatchObject({ INFO: 1, ERROR: 1 });
    store.prepend([make(18), make(19)], 1);
    expect(timeline.counts()).toMatchObject({ sources: { system: 2, subprocess: 2 }, levels: { INFO: 3, ERROR: 1 } });
    for (let seq = 22; seq < 200; seq += 1) store.append([make(seq)]);
    const { buckets, levels } = timeline.counts();
    const sum = (key: "lines" | "errors"): number => buckets.reduce((all, one) => all + one[key], 0);
    expect(sum("lines")).toBe(store.lines);
    expect(sum("errors")).toBe(levels.ERROR);
    store.clear();
    expect(timeline.counts().buckets).toEqual([]);
  });

  test("leaves out lines that are hidden", () => {
    const store = new LogStore();
    const timeline = new Timeline(store, ({ request_id: id }) => id?.endsWith(".check") === true);
    store.append([line(1, "x", { timestamp: at(1) }), line(2, "y", { timestamp: at(1), request_id: "a.check" })]);
    expect(timeline.counts().levels.INFO).toBe(1);
    expect(timeline.counts().buckets).toMatchObject([{ lines: 1 }]);
  });

  test("has a bounded number of spans, whatever times lines have", () => {
    const of = (...ms: number[]) => bucketsOf(ms.map((atMs) => ({ atMs, lines: 1, warnings: 0, errors: 0 })));
    for (const range of [0, 1_000, 59_000, 60_000, 3_600_000, 1e12, 8e15]) {
      const buckets = of(range / 2, 0, range);
      expect(buckets.length).toBeLessThanOrEqual(MOST_BUCKETS);
      expect(buckets.reduce((all, one) => all + one.lines, 0)).toBe(3);
    }
    const store = new LogStore();
    store.append([line(1, "x", { timestamp: "no time" })]);
    expect(new Timeline(store).counts()).toMatchObject({ levels: { INFO: 1 }, buckets: [] });
  });

  test("selects a span by terms of the filter", () => {
    expect(rangeTerms(0, 1_000)).toEqual(["since:1970-01-01T00:00:00.000Z", "until:1970-01-01T00:00:00.999Z"]);
  });
});

describe("a view of matches", () => {
  const texts = (view: LogView): string => {
    view.sync();
    return view
      .slice(view.first, view.end)
      .map((one) => one.seq)
      .join(" ");
  };
  test("has each match once with the lines around it, as lines come and are fetched", () => {
    const store = new LogStore();
    const view = new LogView(store, EVERYTHING, { pattern: /hit/g, lines: 2 });
    const make = (seq: number) => line(seq, [8, 12, 13, 30].includes(seq) ? "hit" : "other");
    for (let seq = 10; seq < 40; seq += 1) {
      store.append([make(seq)]);
      view.sync();
    }
    expect(texts(view)).toBe("10 11 12 13 14 15 28 29 30 31 32");
    store.prepend([make(6), make(7), make(8), make(9)], 1);
    expect(texts(view)).toBe("6 7 8 9 10 11 12 13 14 15 28 29 30 31 32");
    const bare = new LogView(store, EVERYTHING, { pattern: /hit/g, lines: 0 });
    expect(texts(bare)).toBe("8 12 13 30");
  });

  test("looks through all lines that a page keeps in less than a noticeable moment", () => {
    const store = new LogStore();
    store.append(Array.from({ length: 200_000 }, (_, at) => line(at + 1, `request ${at} took ${at % 97} ms`)));
    const started = process.cpuUsage();
    expect(new LogView(store, EVERYTHING, { pattern: /took 13 ms/g, lines: 5 }).lines).toBeGreaterThan(2_000);
    expect(process.cpuUsage(started).user).toBeLessThan(1_500_000);
  });
});
