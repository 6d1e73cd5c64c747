import { describe, expect, test } from "vitest";

import { inEnglish } from "../texts/translate";
import { chartsOf, pathOf, topOf } from "./series";

const point = (offset_s: number, memory_mb: number | null) => ({
  offset_s,
  requests: 4,
  errors: 1,
  p50_ms: 1,
  p95_ms: 2,
  p99_ms: 3,
  memory_mb,
  cpu_percent: 5,
});
const metrics = (memory: (number | null)[]) => ({
  preview_id: "p",
  started_at: "2026-01-01T00:00:00Z",
  interval_s: 2,
  memory_limit_mb: 512,
  cpu_limit_percent: 100,
  points: memory.map((one, at) => point(at * 2, one)),
  endpoints: [],
  findings: [],
  is_live: true,
});

describe("charts", () => {
  test("have rates per second, and go on over what was not measured", () => {
    const [memory, , requests] = chartsOf(inEnglish, metrics([100, null, 50]));
    if (!memory || !requests) throw new Error("all are drawn");
    expect(requests.lines.map((one) => one.values[0])).toEqual([2, 0.5]);
    const [line] = memory.lines;
    if (!line) throw new Error("it has a line");
    expect(topOf(memory)).toBe(200);
    expect(pathOf(line, memory, 100, 100)).toBe("M0.0 50.0L100.0 75.0");
  });

  test("show the limit when the values come near, and are empty without any", () => {
    const near = chartsOf(inEnglish, metrics([400]))[0];
    const none = chartsOf(inEnglish, metrics([]))[0];
    if (!near || !none) throw new Error("all are drawn");
    expect(topOf(near)).toBeGreaterThan(512);
    expect(topOf(none)).toBe(1);
  });
});
