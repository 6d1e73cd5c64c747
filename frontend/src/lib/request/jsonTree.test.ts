import { describe, expect, test } from "vitest";

import { flatten } from "./JsonTree";

const rows = (value: unknown) => flatten(value, new Set());

describe("an answer as a tree", () => {
  test("shows all of a validation error without a click", () => {
    const detail = [
      {
        type: "missing",
        loc: ["body", "pages"],
        msg: "Field required",
        input: { title: "Emma", blurb: "x".repeat(80) },
        url: "https://errors.pydantic.dev/2.12/v/missing",
      },
    ];
    const shown = rows({ detail });
    expect(shown.find((row) => row.name === '"loc"')).toMatchObject({ isOpen: null, value: ["body", "pages"] });
    expect(shown.find((row) => row.name === '"msg"')).toMatchObject({ isOpen: null, value: "Field required" });
    expect(shown.every((row) => row.isOpen !== false)).toBe(true);
  });

  test("writes short branches on one line, at any depth, and long ones open", () => {
    expect(rows({ tags: ["new", "blue"], author: { name: "Ada", tall: { yes: true } } })).toHaveLength(4);
    const names = Array.from({ length: 20 }, (_, at) => `name ${at}`);
    expect(rows({ names })[1]).toMatchObject({ name: '"names"', isOpen: true });
  });

  test("leaves what is huge closed", () => {
    expect(rows({ many: Array.from({ length: 5_000 }, (_, at) => at) })).toHaveLength(3);
  });
});
