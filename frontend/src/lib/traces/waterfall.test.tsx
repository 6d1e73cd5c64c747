import { cleanup, render, screen, within } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";

import type { SpanKind, Trace, TraceSpan } from "../api/traces";
import { Waterfall } from "./Waterfall";

afterEach(cleanup);

function span(id: string, kind: SpanKind, name: string, offset: number, took: number): TraceSpan {
  const parent = kind === "request" ? null : "root";
  return {
    span_id: id,
    parent_id: parent,
    kind,
    name,
    offset_ms: offset,
    duration_ms: took,
    detail: "",
    status: null,
    error: null,
    source: "launcher",
  };
}

const SPANS = [
  span("root", "request", "GET /books", 0, 20),
  span("1", "sql", "SELECT books", 1, 4),
  span("2", "call", "GET stock/5", 6, 8),
];
const TRACE: Trace = {
  trace_id: "a".repeat(32),
  number: 1,
  name: "GET /books",
  request_id: "r1",
  started_at: "2026-11-20T12:00:00Z",
  duration_ms: 20,
  status: 200,
  failed: false,
  span_count: 3,
  sql_count: 1,
  sql_ms: 4,
  call_count: 1,
  dropped: 0,
  hints: [],
  spans: SPANS,
};

function rows(timing: {
  queued_ms: number | null;
  connected_ms: number | null;
  first_byte_ms: number | null;
}): string[] {
  render(<Waterfall trace={TRACE} timing={{ ...timing, ended_ms: 25 }} />);
  return within(screen.getByRole("region", { name: "Trace" }))
    .getAllByRole("listitem")
    .map((one) => one.textContent);
}

it("has a row for each part of a request, in the order of time", () => {
  expect(rows({ queued_ms: 1, connected_ms: 3, first_byte_ms: 22 })).toEqual([
    "access check service1 ms",
    "connect service2 ms",
    "GET /books 20 ms",
    "SELECT books 4 ms",
    "GET stock/5 outgoing request8 ms",
    "first byte service19 ms",
    "response service3 ms",
  ]);
});

it("leaves out moments that never came", () => {
  expect(rows({ queued_ms: null, connected_ms: null, first_byte_ms: null }).slice(3)).toEqual([
    "response service25 ms",
  ]);
});

it.each([
  [1, "1 span of this request was not kept."],
  [12, "12 spans of this request were not kept."],
])("says how many spans were not kept: %d", (dropped, said) => {
  const timing = { queued_ms: null, connected_ms: null, first_byte_ms: null, ended_ms: 25 };
  render(<Waterfall trace={{ ...TRACE, dropped }} timing={timing} />);
  screen.getByText(said);
});
