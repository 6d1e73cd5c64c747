import { afterEach, describe, expect, test } from "vitest";

import { projectOf, viewOf, writeView } from "./address";

afterEach(() => history.replaceState(null, "", "#"));

describe("the address", () => {
  test.each([
    ["", null],
    ["#top", null],
    ["#/gen_1", "gen_1"],
    ["#/a%2Fb?show=data", "a/b"],
    ["#/%E0%A4%A", null],
  ])("%s names the project %s", (hash, project) => expect(projectOf(hash)).toBe(project));

  test("it keeps the view of its project, and forgets that of another", () => {
    writeView("g1", { filter: ["status:>=500", "/a b/"], line: "7" });
    expect(viewOf(location.hash).getAll("filter")).toEqual(["status:>=500", "/a b/"]);
    writeView("g1", { line: null, show: "failures" });
    expect(viewOf(location.hash).toString()).toBe("filter=status%3A%3E%3D500&filter=%2Fa+b%2F&show=failures");
    writeView("g2", { show: "data" });
    expect(location.hash).toBe("#/g2?show=data");
  });
});
