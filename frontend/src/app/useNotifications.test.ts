import { describe, expect, it } from "vitest";

import type { PreviewInstance } from "../lib/api/types";
import { newsOf } from "./useNotifications";
import type { Project } from "./useProjects";

function project(status: string, id = "preview_1", expires = "2026-01-01T01:00:00Z"): Project {
  return {
    id: "gen_1",
    name: "shop",
    createdAt: null,
    preview: { id, status, expires_at: expires } as PreviewInstance,
  };
}

const NOW = Date.parse("2026-01-01T00:00:00Z");

describe("desktop notifications", () => {
  it("tell of a crash, of a failed start, and each once", () => {
    expect(newsOf(project("running"), project("failed"), NOW)).toBe("has crashed.");
    expect(newsOf(project("starting"), project("failed"), NOW)).toBe("has failed to start.");
    expect(newsOf(project("failed"), project("failed"), NOW)).toBeNull();
  });

  it("tell of an end that is near", () => {
    expect(newsOf(project("running"), project("running"), NOW)).toBeNull();
    expect(newsOf(project("running"), project("running"), NOW + 56 * 60_000)).toBe("ends in less than 5 minutes.");
  });

  it("tell nothing of what was there before the page was", () => {
    expect(newsOf(undefined, project("failed"), NOW)).toBeNull();
  });
});
