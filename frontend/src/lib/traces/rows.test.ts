import { describe, expect, it } from "vitest";

import type { TraceSpan } from "../api/traces";
import { fold, isFolded, rowsOf } from "./rows";

function span(id: string, parent: string | null = null, name = id): TraceSpan {
  return {
    span_id: id,
    parent_id: parent,
    kind: "sql",
    name,
    offset_ms: 0,
    duration_ms: 1,
    detail: "",
    status: null,
    error: null,
    source: "launcher",
  };
}

describe("rowsOf", () => {
  it("shows each span once, whatever an application reports as parents", () => {
    const spans = [span("a", "b"), span("b", "a"), span("c", "c"), span("d", "gone"), span("d", "c"), span("e", "d")];
    const rows = rowsOf(spans);
    expect(rows).toHaveLength(spans.length);
    expect(new Set(rows.map((row) => row.span))).toEqual(new Set(spans));
  });

  it("puts a span below the one that it happened in", () => {
    const rows = rowsOf([span("root"), span("one", "root"), span("two", "root"), span("inner", "one")]);
    expect(rows.map((row) => `${row.depth} ${row.span.span_id}`)).toEqual(["0 root", "1 one", "2 inner", "1 two"]);
  });

  it("limits the depth of a long chain", () => {
    const chain = Array.from({ length: 1000 }, (_, at) => span(String(at), at ? String(at - 1) : null));
    expect(Math.max(...rowsOf(chain).map((row) => row.depth))).toBe(8);
  });
});

describe("fold", () => {
  it("folds many equal neighbours, and only these", () => {
    const same = Array.from({ length: 12 }, (_, at) => span(String(at), "root", "SELECT authors"));
    const shown = fold(rowsOf([span("root"), span("books", "root"), ...same]));
    expect(shown.map((row) => (isFolded(row) ? row.folded.length : row.span.name))).toEqual([
      "root",
      "books",
      "SELECT authors",
      "SELECT authors",
      "SELECT authors",
      9,
    ]);
  });
});
