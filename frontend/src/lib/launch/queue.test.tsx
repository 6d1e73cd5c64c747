import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import { PreviewProvider } from "../context";
import { clientOf, json } from "../testing";
import { LaunchPanel } from "./LaunchPanel";

afterEach(cleanup);

const LAUNCH = {
  id: "p1",
  generation_id: "g",
  status: "starting",
  health: "unknown",
  base_url: null,
  started_at: null,
  reason: null,
  created_at: "2026-11-20T12:00:00Z",
  expires_at: "2026-11-20T13:00:00Z",
};

test("a launch that waits for a node shows its place, and no step as under way", async () => {
  const client = clientOf(({ path }) => {
    if (path.startsWith("/api/v1/previews?")) return json({ previews: [LAUNCH] });
    if (path === "/api/v1/previews/p1") return json(LAUNCH);
    if (path.endsWith("/status")) return json({ ...LAUNCH, queue: { place: 2, waiting: 5 }, reached: [] });
    return json({ code: "preview_unavailable", detail: "The preview waits for a node, place 2 of 5." }, 503);
  });
  const { container } = render(
    <PreviewProvider client={client}>
      <LaunchPanel generationId="g" />
    </PreviewProvider>,
  );
  expect(await screen.findByText("Place 2 of 5", {}, { timeout: 15_000 })).toBeTruthy();
  expect(screen.getByText("Queued")).toBeTruthy();
  expect(container.querySelector("[aria-current=step]")).toBeNull();
}, 20_000);
