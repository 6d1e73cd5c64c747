import { expect, test, vi } from "vitest";

import { PreviewClient } from "./client";

/** A browser's fetch: what may not be read fails, and says no more. */
function browser(isAway: boolean) {
  return vi.fn((_: unknown, init?: RequestInit): Promise<Response> => {
    if (isAway || init?.mode !== "no-cors") return Promise.reject(new TypeError("Failed to fetch"));
    return Promise.resolve({ type: "opaque" } as Response);
  });
}

test("a service that refuses this page's origin is told from one that is away", async () => {
  const ask = (isAway: boolean, baseUrl: string): Promise<unknown> =>
    new PreviewClient({ baseUrl, fetch: browser(isAway) }).status("gen_1");
  await expect(ask(false, "https://previews.example.com")).rejects.toMatchObject({ code: "origin_refused" });
  await expect(ask(true, "https://previews.example.com")).rejects.toMatchObject({ code: "unreachable" });
  await expect(ask(false, "")).rejects.toMatchObject({ code: "unreachable" });
});
