import { expect, test } from "vitest";

import { addressOf, placeOf } from "./place";

test.each([
  ["#/join/gen_1/share_a.0f", { generationId: "gen_1", token: "share_a.0f" }],
  ["#/guest/gen_1", { generationId: "gen_1", token: null }],
  ["#/gen_1", null],
  ["#/join/gen_1", null],
  ["#/join/%E0%A4%A/share_a.0f", null],
  ["#/join/gen_1/javascript:alert(1)", null],
  ["", null],
])("%s", (hash, expected) => {
  expect(placeOf(hash)).toEqual(expected);
});

test("an address leads back to its generation", () => {
  expect(placeOf(addressOf("a:b"))).toEqual({ generationId: "a:b", token: null });
});
