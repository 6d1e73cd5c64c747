import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import type { Endpoint, EndpointListing } from "../api/types";
import { EndpointList, Unread } from "./EndpointList";

afterEach(cleanup);

const ENDPOINT: Endpoint = {
  method: "GET",
  path: "/books",
  summary: "",
  description: "",
  tags: [],
  query: {},
  body: null,
  response: null,
  source: "static",
};

function listing(unread: string[]): EndpointListing {
  const endpoints = [ENDPOINT, { ...ENDPOINT, path: "/late", source: "application" as const }];
  return { endpoints, sockets: [], complete: unread.length === 0, unread };
}

test("each endpoint says where it was found", () => {
  render(<EndpointList listing={listing([])} onPick={() => undefined} onSocket={() => undefined} />);
  expect(screen.getByRole("button", { name: /books/ }).textContent).toContain("source");
  expect(screen.getByRole("button", { name: /late/ }).textContent).toContain("routes");
  expect(screen.queryByText(/may be more/)).toBeNull();
});

test("a list that may lack endpoints says so and why, with unseen characters as escapes", () => {
  render(<Unread listing={listing(["app.js:3: \u202eevil"])} />);
  expect(screen.getByText("There may be more endpoints: 1 part could not be read")).toBeTruthy();
  expect(screen.getByText("app.js:3: \\u202eevil")).toBeTruthy();
});

test("a description is text with parameters and shapes, and no markup", () => {
  const parameter = {
    name: "limit",
    location: "query" as const,
    type: "integer",
    required: true,
    default: 5,
    choices: [],
  };
  const told: Endpoint = {
    ...ENDPOINT,
    description: "<img src=x onerror=alert(1)> \u202elist",
    parameters: [{ ...parameter, sample: 1, description: "How <b>many</b>" }],
    bodies: [{ content_type: "application/json", sample: { title: "Emma" }, files: [], required: true }],
    response: { id: "integer" },
  };
  const all = { ...listing([]), endpoints: [told] };
  const { container } = render(<EndpointList listing={all} onPick={() => undefined} onSocket={() => undefined} />);
  fireEvent.click(screen.getByRole("button", { name: "Description" }));
  expect(container.querySelectorAll("img, td b")).toHaveLength(0);
  expect(container.textContent).toContain("<img src=x onerror=alert(1)> \\u202elist");
  expect(screen.getByRole("row").textContent).toBe("limit *queryintegerHow <b>many</b> · default: 5");
  expect(container.textContent).toContain('"title": "Emma"');
  expect(screen.getByRole("region", { name: "Response" }).textContent).toContain('"id": "integer"');
});
