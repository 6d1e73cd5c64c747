import { describe, expect, it } from "vitest";

import { inEnglish } from "../texts/translate";
import { livesUntil } from "./lives";

describe("the lifetimes of a share link", () => {
  it("never go beyond the preview's", () => {
    for (const left of [1, 59, 600, 3_300, 100_000])
      for (const [, seconds] of livesUntil(inEnglish, left * 1_000, 0))
        expect(seconds).toBeLessThanOrEqual(Math.max(60, left));
  });

  it("end with the preview's own", () => {
    expect(livesUntil(inEnglish, 3_300_000, 0)).toEqual([
      ["in 10 minutes", 600],
      ["when the preview ends (in 55 min)", 3_300],
    ]);
  });
});
