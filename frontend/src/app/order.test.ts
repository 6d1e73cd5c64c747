import { describe, expect, it } from "vitest";

import { fuzzyScore, grouped, inOrder, matching } from "./order";
import type { Project } from "./useProjects";

const project = (name: string, createdAt: string | null): Project => ({
  id: `gen_${name}`,
  name,
  createdAt,
  preview: null,
});

describe("the list of projects", () => {
  it("is newest first, and steady", () => {
    const [a, b, c] = [project("a", "2026-01-01"), project("b", "2026-01-03"), project("c", "2026-01-03")];
    expect(inOrder([a, c, b]).map((one) => one.name)).toEqual(["b", "c", "a"]);
    expect(inOrder([c, b, a]).map((one) => one.name)).toEqual(["b", "c", "a"]);
  });

  it("is searched by all words", () => {
    const all = [project("Book shop", null), project("shop", null)];
    expect(matching(all, "shop BO").map((one) => one.name)).toEqual(["Book shop"]);
    expect(matching(all, " ")).toHaveLength(2);
  });
});

describe("groups of projects", () => {
  const all = [
    { ...project("a", null), group: "Shops" },
    project("b", null),
    { ...project("c", null), group: "Blogs" },
    { ...project("d", null), group: "Shops" },
  ];

  it("come by name, and what is in none comes last", () => {
    expect(grouped(all).map(({ name, projects }) => [name, projects.map((one) => one.name)])).toEqual([
      ["Blogs", ["c"]],
      ["Shops", ["a", "d"]],
      ["", ["b"]],
    ]);
    expect(grouped([])).toEqual([]);
  });

  it("are searched by their name, too", () => {
    expect(matching(all, "shops").map((one) => one.name)).toEqual(["a", "d"]);
    expect(matching(all, "shops gen_d").map((one) => one.name)).toEqual(["d"]);
  });
});

describe("fuzzy search", () => {
  it("wants all letters in order", () => {
    expect(fuzzyScore("xyz", "Show the log")).toBe(0);
    expect(fuzzyScore("gol", "log")).toBe(0);
    expect(fuzzyScore("stl", "Show the log")).toBeGreaterThan(0);
  });

  it("prefers starts of words and runs of letters", () => {
    expect(fuzzyScore("log", "Show the log")).toBeGreaterThan(fuzzyScore("log", "all old things"));
    expect(fuzzyScore("set", "Settings")).toBeGreaterThan(fuzzyScore("set", "Show the tests"));
  });

  it("takes any text without being slow", () => {
    expect(fuzzyScore("a".repeat(5_000), "a".repeat(4_999))).toBe(0);
  });
});
