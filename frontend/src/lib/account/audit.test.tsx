import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import type { AuditEntry } from "../api/account";
import { clientOf, json } from "../testing";
import { AuditView } from "./AuditView";

afterEach(cleanup);

const ENTRY: AuditEntry = {
  id: "audit_1",
  seq: 1,
  at: "2026-11-20T12:00:00Z",
  user_id: "guest <b>Gus</b>\u202e",
  action: "opened",
  subject: "gen_1",
  preview_id: "",
  detail: "GET /p/",
  outcome: "refused",
  via: "share share_2x4",
  address: "10.0.0.7",
};

test("an entry has its outcome, way and address; a guest's name is text; older ones are fetched", async () => {
  const asked: string[] = [];
  const client = clientOf(({ path }) => {
    asked.push(path);
    if (path.endsWith("/verify")) return json({ is_whole: false, entries: 3, problem: "Entry 4 was changed." });
    if (path.includes("cursor=c2")) return json({ items: [{ ...ENTRY, id: "audit_0", via: "" }], next: null });
    return json({ items: [ENTRY], next: "c2" });
  });
  render(<AuditView client={client} isOperator />);
  const table = screen.getByRole("region", { name: "Audit trail" });
  const row = (await within(table).findByText("opened")).closest("tr");
  expect([...(row?.cells ?? [])].slice(1).map((one) => one.textContent)).toEqual([
    "guest <b>Gus</b>\\u202e",
    "opened",
    "gen_1",
    "refused",
    "share 2x4",
    "10.0.0.7",
  ]);
  fireEvent.click(screen.getByRole("button", { name: "Older entries" }));
  await within(table).findAllByText("–");
  expect(screen.queryByRole("button", { name: "Older entries" })).toBeNull();
  fireEvent.click(screen.getByRole("button", { name: "Verify the trail" }));
  await screen.findByText("Entry 4 was changed.");
  expect(asked[0]).toBe("/api/v1/operator/audit?limit=50");
});

test("a person has own entries, and no check of the chain", async () => {
  const asked: string[] = [];
  const client = clientOf(({ path }) => {
    asked.push(path);
    return json({ items: [], next: null });
  });
  render(<AuditView client={client} isOperator={false} />);
  await screen.findByText("None.");
  expect(asked).toEqual(["/api/v1/audit?limit=50"]);
  expect(screen.queryByRole("button", { name: "Verify the trail" })).toBeNull();
});
