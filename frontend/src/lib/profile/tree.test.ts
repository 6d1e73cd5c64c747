import { expect, test } from "vitest";

import type { ProfileNode } from "../api/profile";
import { childrenOf, shownOf } from "./tree";

function node(parent: number | null, total_ms: number): ProfileNode {
  return { name: "f", place: null, calls: null, own_ms: 0, total_ms, parent, depth: 0 };
}

test("functions with little time are left out, and so is what they call", () => {
  const nodes = [node(null, 990), node(0, 980), node(1, 3), node(2, 2), node(null, 10)];
  const shown = shownOf(nodes, 1000);
  expect(shown).toEqual([0, 1, 4]);
  expect(childrenOf(nodes, shown, null)).toEqual([0, 4]);
  expect(childrenOf(nodes, shown, 0)).toEqual([1]);
  expect(childrenOf(nodes, shown, 1)).toEqual([]);
});

test("never more than fit on a page", () => {
  expect(shownOf(Array(500).fill(node(null, 20)), 1000)).toHaveLength(40);
});
