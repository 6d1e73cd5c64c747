import { beforeEach, expect, test, vi } from "vitest";

import type { PreviewClient } from "./client";
import { lastProfile, startProfile } from "./profile";
import { Problem } from "./problem";

beforeEach(() => sessionStorage.clear());

test("nothing is asked before a measurement, and after a process that has forgotten it", async () => {
  const json = vi.fn();
  const client = { json } as unknown as PreviewClient;
  const { signal } = new AbortController();
  expect(await lastProfile(client, "gen_1", signal)).toBeNull();
  expect(json).not.toHaveBeenCalled();
  json.mockResolvedValueOnce({ state: "running" }).mockResolvedValueOnce({ state: "finished" });
  await startProfile(client, "gen_1", 10);
  expect(await lastProfile(client, "gen_1", signal)).toEqual({ state: "finished" });
  json.mockRejectedValueOnce(new Problem("It was never measured.", { status: 404 }));
  expect(await lastProfile(client, "gen_1", signal)).toBeNull();
  expect(await lastProfile(client, "gen_1", signal)).toBeNull();
  expect(json).toHaveBeenCalledTimes(3);
});
