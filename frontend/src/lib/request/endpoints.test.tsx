import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";

import type { Endpoint, EndpointListing } from "../api/types";
import { EndpointList, Unread } from "./EndpointList";

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
