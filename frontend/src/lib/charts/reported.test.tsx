import { cleanup, render, screen, within } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import type { ReportedSeries } from "../api/metrics";
import { clientOf, json } from "../testing";
import { Reported } from "./Reported";

afterEach(cleanup);

const SERIES: ReportedSeries = {
  name: "queue <b>",
  unit: "1",
  kind: "gauge",
  attributes: {},
  value: 3,
  count: null,
  sum: null,
  max: null,
};

function show(items: ReportedSeries[], dropped: number): string[] {
  const asked: string[] = [];
  const client = clientOf(({ path }) => {
    asked.push(path);
    return json({ items, dropped, receiving: false });
  });
  render(<Reported client={client} generationId="g1" previewId="preview_1" isLive={false} />);
  return asked;
}

test("a program's metrics are a table of texts, with what was dropped", async () => {
  const histogram = {
    ...SERIES,
    name: "took",
    attributes: { route: "/\u202e" },
    value: null,
    count: 4,
    sum: 10,
    max: 7,
  };
  const asked = show([SERIES, histogram], 1200);
  const table = await screen.findByRole("region", { name: "Reported metrics", hidden: true });
  const rows = within(table).getAllByRole("row", { hidden: true }).slice(1);
  expect(rows.map((row) => [...row.children].map((cell) => cell.textContent))).toEqual([
    ["queue <b>", "3", "1"],
    ["took {route=/\\u202e}", "4 values, mean 2.5, maximum 7", "1"],
  ]);
  screen.getByText("1,200 values were dropped: too many, too fast, or not numbers.");
  expect(asked).toEqual(["/api/v1/generations/g1/preview/metrics/reported?preview_id=preview_1"]);
});

test("a program that reports none has no table", async () => {
  const asked = show([], 0);
  await expect.poll(() => asked.length).toBe(1);
  expect(screen.queryByText(/Metrics that the program reports/)).toBeNull();
});

test("one dropped value is one", async () => {
  show([SERIES], 1);
  await screen.findByText("1 value was dropped: too many, too fast, or not a number.");
});
