import { describe, expect, it } from "vitest";

import { fitting } from "./fitting";

const ALL = ["log", "requests", "files", "failures", "tests", "settings"].map((id) => ({ id }));
const ids = (found: readonly { id: string }[]): string[] => found.map((one) => one.id);

describe("the bar of panes", () => {
  it("has all in one row where they fit", () => {
    for (const width of [null, 600, 330]) expect(fitting(ALL, "log", width).visible).toEqual(ALL);
    expect(fitting(ALL, "log", 330).isStacked).toBe(true);
    expect(fitting(ALL, "log", 600).isStacked).toBe(false);
  });

  it("puts the rest into a menu, never the one that is shown", () => {
    for (let width = 0; width < 288; width += 1)
      for (const { id } of ALL) {
        const { visible, rest } = fitting(ALL, id, width);
        expect(ids(visible)).toContain(id);
        expect([...ids(visible), ...ids(rest)].sort()).toEqual(ids(ALL).sort());
        if (width >= 96) expect((visible.length + 1) * 48).toBeLessThanOrEqual(width);
      }
  });
});
