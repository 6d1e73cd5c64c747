import { expect, test } from "vitest";

import { inEnglish } from "../texts/translate";
import { parseHeaders } from "./headers";
import { bounded, closeSentence, MAX_CHARS, MAX_ROWS, type SocketRow } from "./talk";

function rows(count: number, text = "x"): SocketRow[] {
  return Array.from({ length: count }, (_, id) => ({ id, at: 0, kind: "received" as const, text }));
}

test("the newest messages are kept, bounded in number and size, and at least one", () => {
  expect(bounded(rows(3), 2)).toEqual({ rows: rows(3), dropped: 2 });
  const many = bounded(rows(MAX_ROWS + 10), 1);
  expect([many.rows.length, many.rows[0]?.id, many.dropped]).toEqual([MAX_ROWS, 10, 11]);
  const large = bounded(rows(4, "x".repeat(MAX_CHARS / 2)), 0);
  expect([large.rows.length, large.dropped]).toEqual([2, 2]);
  expect(bounded(rows(2, "x".repeat(MAX_CHARS + 1)), 0).rows).toHaveLength(1);
});

test("who closed is said, with the code in words", () => {
  expect(closeSentence(inEnglish, 1000, "", "you")).toBe("You closed the connection: 1000, normal end.");
  expect(closeSentence(inEnglish, 1011, "", "preview")).toBe(
    "The preview closed the connection: 1011, internal error.",
  );
  expect(closeSentence(inEnglish, 4001, "enough", "preview")).toBe(
    "The preview closed the connection: 4001, the application’s own code (enough).",
  );
  expect(closeSentence(inEnglish, 3000, "", "service")).toContain("a library’s code");
});

test("header fields are one a line", () => {
  expect(parseHeaders(inEnglish, "Authorization: Bearer a:b\n\n X-Shop : books ")).toEqual([
    ["Authorization", "Bearer a:b"],
    ["X-Shop", "books"],
  ]);
  expect(parseHeaders(inEnglish, "no colon")).toContain("is not a header");
  expect(parseHeaders(inEnglish, ": x")).toContain("is not a header");
});
