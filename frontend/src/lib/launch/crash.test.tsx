import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import { PreviewProvider } from "../context";
import { clientOf, json } from "../testing";
import { LaunchPanel } from "./LaunchPanel";

afterEach(cleanup);

const RUNNING = {
  id: "p1",
  generation_id: "g",
  status: "running",
  health: "unhealthy",
  base_url: null,
  started_at: "2026-11-20T12:00:01Z",
  reason: null,
  created_at: "2026-11-20T12:00:00Z",
  expires_at: "2126-11-20T13:00:00Z",
};

test("a process that is started again after a crash is named in the header, with the reason", async () => {
  const crash = { count: 2, reason: "Killed by SIGKILL", at: "2026-11-20T12:10:00Z", is_restarting: true };
  const client = clientOf(({ path }) => {
    if (path.startsWith("/api/v1/previews?")) return json({ previews: [RUNNING] });
    if (path === "/api/v1/previews/p1") return json(RUNNING);
    if (path.endsWith("/status")) return json({ ...RUNNING, crash, reached: [] });
    return json({ code: "preview_unavailable", detail: "Not now." }, 503);
  });
  render(
    <PreviewProvider client={client}>
      <LaunchPanel generationId="g" />
    </PreviewProvider>,
  );
  const said = await screen.findByText("2, starting again…", {}, { timeout: 15_000 });
  expect(screen.getByText("Restarting")).toBeTruthy();
  expect(said.title).toBe("Last crash: Killed by SIGKILL");
}, 20_000);
