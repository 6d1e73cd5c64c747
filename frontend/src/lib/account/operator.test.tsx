import { cleanup, render, screen } from "@testing-library/react";
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
    json({ items: path.endsWith("/operator/nodes") ? [{ ...NODE, address }] : [], limit: 100, next: null }),
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
  expect(found[1]).toBe("Live previews on the node that answers: 0 of 100");
  expect(found.filter((one) => one === "Nodes")).toHaveLength(1);
});

test("a service alone has no such words", async () => {
  render(<OperatorView client={shown(null)} />);
  const found = await titles();
  expect(found[0]).toBe("Live previews: 0 of 100");
  expect(found.filter((one) => one === "Nodes")).toHaveLength(1);
  expect(found.join()).not.toContain("that answers");
});
