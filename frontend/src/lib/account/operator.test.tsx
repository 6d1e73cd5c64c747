import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import { clientOf, json } from "../testing";
import { OperatorView } from "./OperatorView";

afterEach(cleanup);

const NODE = {
  name: "one",
  system: "Linux",
  processors: 2,
  live_previews: 3,
  max_previews: 100,
  isolation: "sandbox",
  limits: {},
  is_live: true,
  is_draining: false,
  version: "1",
  labels: {},
  started_at: null,
};

function shown(address: string | null): ReturnType<typeof clientOf> {
  return clientOf(({ path }) =>
    json({ items: path.endsWith("/operator/nodes") ? [{ ...NODE, address }] : [], total: 0, limit: 100, next: null }),
  );
}

async function titles(): Promise<(string | null)[]> {
  await screen.findByText("3 of 100");
  return screen.getAllByRole("heading").map((one) => one.textContent);
}

test("in a cluster the nodes come first, and lists of one node say so", async () => {
  render(<OperatorView client={shown("10.0.0.1:7000")} />);
  const found = await titles();
  expect(found[0]).toBe("Nodes");
  expect(found[1]).toBe("Live previews of all nodes: 0 of 100");
  expect(found.filter((one) => one === "Nodes")).toHaveLength(1);
  expect(found).toContain("Environments on the node that answers");
});

test("previews of all nodes are listed in pages, with their node or what they wait for", async () => {
  const item = (number: number, more: object) => ({
    id: `preview_${number}`,
    generation_id: `gen_${number}`,
    user_id: "ann",
    status: "running",
    created_at: "2026-01-01T00:00:00Z",
    expires_at: "2026-01-01T01:00:00Z",
    node: null,
    placement: "placed",
    memory_bytes: null,
    cpu_percent: null,
    viewers: null,
    ...more,
  });
  const pages = [
    [item(1, { node: "one", memory_bytes: 5 * 1024 * 1024, viewers: 0 }), item(2, { node: "two" })],
    [item(3, { placement: "queued", status: "starting" }), item(4, { node: "gone", placement: "lost" })],
  ];
  const client = clientOf(({ path }) => {
    if (path.includes("/operator/previews"))
      return json(
        path.includes("cursor=next")
          ? { items: pages[1], total: 4, limit: 100, next: null }
          : { items: pages[0], total: 4, limit: 100, next: "next" },
      );
    return json({
      items: path.endsWith("/operator/nodes") ? [{ ...NODE, address: "10.0.0.1:7000" }] : [],
      limit: 100,
      next: null,
    });
  });
  render(<OperatorView client={client} />);
  const table = await screen.findByRole("region", { name: "Live previews of all nodes: 4 of 100" });
  const rows = () =>
    within(table)
      .getAllByRole("row")
      .slice(1)
      .map((row) =>
        within(row)
          .getAllByRole("cell")
          .slice(1, 5)
          .map((one) => one.textContent),
      );
  expect(rows()).toEqual([
    ["preview_1", "one", "running", "5 MB"],
    ["preview_2", "two", "running", "–"],
  ]);
  screen.getByText("Memory is shown for previews of the node that answers only.");
  fireEvent.click(screen.getByRole("button", { name: "More previews" }));
  await within(table).findByText("preview_4");
  expect(rows().slice(2)).toEqual([
    ["preview_3", "–", "waits for a node", "–"],
    ["preview_4", "gone", "node lost", "–"],
  ]);
  expect(screen.queryByRole("button", { name: "More previews" })).toBeNull();
  // A refresh begins with the first page.
  fireEvent.click(screen.getAllByRole("button", { name: "Refresh" })[0] as HTMLElement);
  await screen.findByRole("button", { name: "More previews" });
  expect(rows()).toHaveLength(2);
});

test("a service alone has no such words", async () => {
  render(<OperatorView client={shown(null)} />);
  const found = await titles();
  expect(found[0]).toBe("Live previews: 0 of 100");
  expect(found.filter((one) => one === "Nodes")).toHaveLength(1);
  expect(found.join()).not.toContain("that answers");
});
