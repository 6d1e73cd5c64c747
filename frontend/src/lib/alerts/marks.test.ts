import { expect, test } from "vitest";

import type { AlertFiring } from "../api/alerts";
import { inEnglish } from "../texts/translate";
import { markedLines } from "./marks";

function firing(part: Partial<AlertFiring>): AlertFiring {
  return {
    id: "firing_1",
    alert_id: "alert_1",
    alert: "many errors",
    generation_id: "gen_a",
    preview_id: "preview_a",
    fired_at: "2026-11-20T12:00:00Z",
    summary: "5 lines match",
    matches: 1,
    line: "ERROR",
    first_line: 7,
    last_line: 7,
    request: null,
    suppressed: 0,
    test: false,
    delivery: { state: "none", attempts: 0, status: null, problem: null },
    ...part,
  };
}

const marks = (...firings: AlertFiring[]): [number, string][] => [...markedLines(inEnglish, firings, "preview_a")];

test("the line of a firing has the rule's name, and of several lines the first and the last one have it", () => {
  expect(marks(firing({}), firing({ first_line: 9, last_line: 12, alert: "slow" }))).toEqual([
    [7, "Alert: many errors"],
    [9, "Alert: slow, first line"],
    [12, "Alert: slow, last line"],
  ]);
  expect(marks(firing({ last_line: null }))).toEqual([[7, "Alert: many errors"]]);
});

test("firings of another preview, and firings without lines such as tests, mark nothing", () => {
  expect(marks(firing({ preview_id: "preview_b" }), firing({ first_line: null, last_line: null, test: true }))).toEqual(
    [],
  );
  expect([...markedLines(inEnglish, [firing({})], null)]).toEqual([]);
});

test("many firings of one line are named once each, and counted from the fourth rule on", () => {
  const many = Array.from({ length: 50 }, (_, at) => firing({ alert: `rule ${at % 5}` }));
  expect(marks(...many)).toEqual([[7, "Alert: rule 0; Alert: rule 1; Alert: rule 2; 2 more alerts"]]);
});

test("a hostile name neither acts nor fills the page", () => {
  const [[, words] = [0, ""]] = marks(firing({ alert: `\u202e\u001b[2J${"x".repeat(100_000)}` }));
  expect(words).toContain("\\u202e");
  expect(words.length).toBeLessThan(300);
});
