import { describe, expect, it } from "vitest";

import type { Generation, PreviewInstance } from "../lib/api/types";
import { after } from "./useProjects";

const preview = (id: string, created: string, status = "running"): PreviewInstance =>
  ({ id, generation_id: "gen_1", created_at: created, status }) as PreviewInstance;
const generation = (id: string, name: string): Generation => ({ id, name, created_at: "2026-01-01" }) as Generation;

describe("what is known of the projects", () => {
  const empty = { generations: [], previews: [] };

  it("takes in previews, newest first, each once", () => {
    let known = after(empty, { kind: "preview", preview: preview("old", "2026-01-01") });
    known = after(known, { kind: "preview", preview: preview("new", "2026-01-02") });
    known = after(known, { kind: "preview", preview: preview("old", "2026-01-01", "stopped") });
    expect(known.previews.map((one) => [one.id, one.status])).toEqual([
      ["new", "running"],
      ["old", "stopped"],
    ]);
  });

  it("takes in new, renamed and removed projects", () => {
    let known = after(empty, { kind: "generation", generation: generation("a", "one") });
    known = after(known, { kind: "generation", generation: generation("b", "two") });
    known = after(known, { kind: "generation", generation: generation("a", "three") });
    expect(known.generations?.map((one) => one.name)).toEqual(["two", "three"]);
    known = after(known, { kind: "removed", generationId: "b" });
    expect(known.generations?.map((one) => one.id)).toEqual(["a"]);
  });

  it("has no projects of a host", () => {
    const hosted = { generations: null, previews: [] };
    expect(after(hosted, { kind: "generation", generation: generation("a", "one") })).toEqual(hosted);
  });
});
