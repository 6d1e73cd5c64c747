import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { clientOf, json } from "../testing";
import { EMPTY } from "./draft";
import { Earlier } from "./Earlier";
import type { Variables } from "../variables/useVariables";
import { SavedList } from "./SavedList";

afterEach(cleanup);

const NONE: Variables = {
  list: [],
  known: { values: new Map(), secrets: new Set() },
  isShared: true,
  problem: null,
  set: vi.fn(),
  remove: vi.fn(),
};

test("the requests of a Postman collection are saved, without secrets; what cannot be saved is counted", async () => {
  const stored: string[] = [];
  const client = clientOf(({ method, body }) => {
    if (method !== "GET") stored.push(body);
    return json(method === "GET" ? { items: [] } : { id: "1", name: "x", method: "GET", path: "/", more: {} });
  });
  render(
    <SavedList client={client} generationId="g" draft={EMPTY} baseUrl={null} onDraft={vi.fn()} variables={NONE} />,
  );
  const header = [{ key: "Authorization", value: "Bearer s3cret" }];
  const item = [
    { name: "books", request: { url: "https://api.example.com/books", header } },
    { name: "long", request: { method: "POST", url: "/x", body: { mode: "raw", raw: "x".repeat(200_000) } } },
  ];
  const file = new File([JSON.stringify({ item })], "c.json");
  fireEvent.change(await screen.findByLabelText("Postman collection"), { target: { files: [file] } });
  expect(
    await screen.findByText("1 request imported, 1 left out: the body is too long, or no more requests can be saved."),
  ).toBeTruthy();
  expect(stored).toHaveLength(1);
  expect(stored[0]).toContain('"path":"/books"');
  expect(stored[0]).not.toContain("s3cret");
});

test("an import that the service cannot take at the moment ends with its reason", async () => {
  let asked = 0;
  const client = clientOf(({ method }) => {
    if (method === "GET") return json({ items: [] });
    asked += 1;
    if (asked === 1) return json({ id: "1", name: "x", method: "GET", path: "/", more: {} });
    return json(
      { code: "service_stopping", title: "Service stopping", detail: "The service is stopping.", status: 503 },
      503,
    );
  });
  render(
    <SavedList client={client} generationId="g" draft={EMPTY} baseUrl={null} onDraft={vi.fn()} variables={NONE} />,
  );
  const item = ["/a", "/b", "/c"].map((url) => ({ name: url, request: { url } }));
  const file = new File([JSON.stringify({ item })], "c.json");
  fireEvent.change(await screen.findByLabelText("Postman collection"), { target: { files: [file] } });
  expect(await screen.findByText("The service is stopping.")).toBeTruthy();
  expect(asked).toBe(2);
});

test("of a project that was never launched no records are asked for", async () => {
  const asked: string[] = [];
  const client = clientOf(({ path }) => {
    asked.push(path);
    return json({ items: [] });
  });
  const common = {
    client,
    generationId: "g",
    draft: EMPTY,
    baseUrl: null,
    revision: 0,
    onDraft: vi.fn(),
    variables: NONE,
  };
  const { container } = render(<Earlier {...common} isLaunched={false} />);
  const details = container.querySelector("details");
  if (details) details.open = true;
  fireEvent(details ?? container, new Event("toggle"));
  expect(await screen.findByText("No requests to this endpoint have been recorded yet.")).toBeTruthy();
  expect(asked.filter((path) => path.includes("/requests"))).toEqual([]);
});
