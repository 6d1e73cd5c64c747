import { expect, test } from "vitest";

import type { Version } from "../api/history";
import type { Preset } from "../api/settings";
import type { Generation } from "../api/types";
import { inEnglish } from "../texts/translate";
import { choicesOf, usualSides } from "./ComparePanel";

const VERSIONS = [version(2), version(1)];

function version(number: number): Version {
  const counts = { file_count: 1, size_bytes: 1, added: 0, changed: 1, removed: 0 };
  return {
    number,
    created_at: "2026-11-20T12:00:00Z",
    author: "ann",
    agent: "",
    source: "push",
    message: "",
    failed: null,
    ...counts,
  };
}

function preset(name: string, active: boolean): Preset {
  return { name, active, variables: [], start: {}, memory_mb: null };
}

test("each earlier version and each preset that is not active can be a side, and so can none", () => {
  const choices = choicesOf(inEnglish, "gen_a", [], VERSIONS, [], [preset("dev", true), preset("prod", false)]);
  expect(choices.map((one) => one.side)).toEqual([
    { generation: "gen_a" },
    { generation: "gen_a", version: 1 },
    { generation: "gen_a", preset: "prod" },
    { generation: "gen_a", preset: "" },
  ]);
});

test("a project without presets or earlier versions has only itself", () => {
  expect(choicesOf(inEnglish, "gen_a", [], [], [], []).map((one) => one.key)).toEqual(["now"]);
});

test("the requests of this project are sent to its earlier version first, or else to another project", () => {
  const other = { id: "gen_b", name: "shop", created_at: "2026-11-20T12:00:00Z" } as Generation;
  const keys = (versions: Version[], generations: Generation[]) =>
    usualSides(choicesOf(inEnglish, "gen_a", generations, versions, [], [])).map((one) => one?.key);
  expect(keys(VERSIONS, [other])).toEqual(["version 1", "now"]);
  expect(keys([], [other])).toEqual(["now", "gen_b"]);
  expect(keys([], [])).toEqual(["now", "now"]);
});
