import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import { codeOf } from "../../app/Invited";
import { clientOf, json } from "../testing";
import { InvitationsView } from "./InvitationsView";

afterEach(cleanup);

const OPEN = {
  id: "invitation_1",
  state: "open",
  note: "course <b>",
  created_by: "olga",
  created_at: "2026-11-20T12:00:00Z",
  expires_at: "2026-11-27T12:00:00Z",
  most_uses: 3,
  uses: 1,
  tier: "pro",
  role: "use",
  people: [
    {
      user_id: "invited:a-1",
      name: "<i>Anna\u202e",
      role: "use",
      created_at: "2026-11-20T12:00:00Z",
      removed_at: null,
    },
    {
      user_id: "invited:b-2",
      name: "",
      role: "use",
      created_at: "2026-11-20T12:00:00Z",
      removed_at: "2026-11-21T12:00:00Z",
    },
  ],
};

test("an operator makes a link, which is shown once, revokes it and removes people", async () => {
  const asked: string[] = [];
  const client = clientOf(({ method, path }) => {
    asked.push(`${method} ${path}`);
    if (method === "POST") return json({ ...OPEN, url: "https://preview.example.com/#/invite/inv_x" });
    if (method === "DELETE") return new Response(null, { status: 204 });
    return json({ items: [OPEN, { ...OPEN, id: "invitation_0", state: "used", people: [] }], next: null });
  });
  render(<InvitationsView client={client} onChanged={() => undefined} />);
  const table = screen.getByRole("region", { name: "Invitations" });
  await within(table).findAllByText("1 of 3");
  // What people typed is text; a used one has nothing to revoke.
  expect(within(table).getAllByText("course <b>")).toHaveLength(2);
  expect(screen.getByText("<i>Anna\\u202e")).toBeDefined();
  expect(within(table).getAllByRole("button")).toHaveLength(1);
  fireEvent.click(screen.getByRole("button", { name: "Create link" }));
  await screen.findByText("https://preview.example.com/#/invite/inv_x");
  fireEvent.click(screen.getByRole("button", { name: "Revoke the invitation course <b>" }));
  fireEvent.click(screen.getByRole("button", { name: "Revoke" }));
  await screen.findByText("https://preview.example.com/#/invite/inv_x");
  fireEvent.click(screen.getByRole("button", { name: "Remove invited:a-1" }));
  fireEvent.click(screen.getByRole("button", { name: "Remove" }));
  await screen.findAllByText("removed");
  const base = "/api/v1/operator";
  expect(asked.filter((one) => !one.startsWith("GET"))).toEqual([
    `POST ${base}/invitations`,
    `DELETE ${base}/invitations/invitation_1`,
    `DELETE ${base}/members/invited%3Aa-1`,
  ]);
});

test("only the address of an invitation has a code", () => {
  expect(codeOf("#/invite/inv_a-Z_9")).toBe("inv_a-Z_9");
  for (const other of ["", "#/invite/", "#/invite/a/b", "#/gen_1", "#/join/gen/x", "#/invite/a?b", "#/invite/%00"])
    expect(codeOf(other)).toBeNull();
});
