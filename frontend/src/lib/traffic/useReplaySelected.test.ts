import { expect, test } from "vitest";

import { toggled } from "./useReplaySelected";

const LIST = [9, 8, 7, 6, 5];

test("one request is selected and taken back", () => {
  const one = toggled(new Set(), LIST, 7, -1);
  expect([...one]).toEqual([7]);
  expect([...toggled(one, LIST, 7, -1)]).toEqual([]);
});

test("a range goes both ways and takes nothing back", () => {
  expect([...toggled(new Set([9]), LIST, 6, 0)].sort()).toEqual([6, 7, 8, 9]);
  expect([...toggled(new Set([6]), LIST, 8, 3)].sort()).toEqual([6, 7, 8]);
});

test("a range from a request that has left the list selects one", () => {
  expect([...toggled(new Set([20]), LIST, 8, -1)].sort()).toEqual([20, 8]);
});
