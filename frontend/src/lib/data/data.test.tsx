import { act, cleanup, fireEvent, render, renderHook, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { PreviewClient } from "../api/client";
import type { Snapshot } from "../api/data";
import { clientOf, json } from "../testing";
import { usePreviewData } from "../usePreviewData";
import { usePreviewSnapshots } from "../usePreviewSnapshots";
import { DataPanel } from "./DataPanel";
import { Diff } from "./Diff";

afterEach(cleanup);

const TABLE = { name: "books\u202e", rows: 51, size_bytes: null };
const DATABASE = { id: "postgresql", kind: "PostgreSQL", name: "PostgreSQL", size_bytes: 9_000, tables: [TABLE] };
const SERVER = { kind: "PostgreSQL", version: "PostgreSQL 17.2", connections: 1, size_bytes: null };
const LONG = "x".repeat(200);

function snapshot(id: string, name: string, more: Partial<Snapshot> = {}): Snapshot {
  const made = { id, generation_id: "g1", name, kind: "manual" as const, created_at: "2026-11-20T12:00:00.000Z" };
  return { ...made, size_bytes: 1_200, sha256: "", parts: [], ...more };
}

let asked: string[];
let state: string;
let snapshots: Snapshot[];

beforeEach(() => {
  asked = [];
  state = "running";
  snapshots = [snapshot("s2", "after lunch"), snapshot("s1", "")];
});

function service(more: (call: string, body: string) => Response | undefined = () => undefined): PreviewClient {
  return clientOf(({ method, path, body }) => {
    const call = `${method} ${path.replace("/api/v1", "").replace("/generations/g1", "")}`;
    asked.push(call);
    const instance = { id: "p1", generation_id: "g1", status: state };
    const made = more(call, body);
    if (made) return made;
    if (call.startsWith("GET /previews?")) return json({ previews: state === "none" ? [] : [instance] });
    if (call === "GET /previews/p1" || call === "GET /preview/status") return json(instance);
    if (call === "GET /preview/services") return json({ services: [SERVER] });
    if (call === "GET /preview/data") return json({ databases: [{ ...DATABASE, problem: null }] });
    if (call === "GET /preview/snapshots") return json({ snapshots });
    if (call.startsWith("GET /preview/data/rows")) {
      const offset = Number(new URL(path, "http://service").searchParams.get("offset"));
      const rows =
        offset === 0 ? Array.from({ length: 50 }, (_, at) => [`${at}`, at === 0 ? null : LONG]) : [["50", ""]];
      return json({ columns: [{ name: "id", type: "" }, { name: "title", type: "text" }], rows, offset, has_more: offset === 0 }); // prettier-ignore
    }
    return json({ detail: "There is nothing here." }, 404);
  });
}

/** Answers the question that is open with yes. */
function agree(): void {
  fireEvent.submit(screen.getByRole("alertdialog").querySelector("form") as HTMLFormElement);
}

function open(client: PreviewClient, tab?: RegExp): void {
  render(<DataPanel generationId="g1" name="shop" client={client} />);
  if (tab) fireEvent.click(screen.getByRole("tab", { name: tab }));
}

describe("databases", () => {
  test("without a running preview only the snapshots are asked for", async () => {
    state = "stopped";
    open(service());
    expect(await screen.findByText("The preview is not running. Launch it to see its databases.")).toBeTruthy();
    await screen.findByRole("tab", { name: "Snapshots (2)" });
    fireEvent.click(screen.getByRole("tab", { name: "SQL" }));
    expect(asked.filter((call) => !call.startsWith("GET /previews?"))).toEqual(["GET /preview/snapshots"]);
  });

  test("a table is read page by page, with NULL as such and long values cut", async () => {
    open(service());
    expect(await screen.findByText("not used yet")).toBeTruthy();
    fireEvent.click(await screen.findByRole("button", { name: /books\\u202e 51 rows/ }));
    const table = await screen.findByRole("table");
    expect(within(table).getAllByText("NULL")).toHaveLength(1);
    fireEvent.click(within(table).getAllByText(`${"x".repeat(60)}…`)[0] as HTMLElement);
    expect(screen.getByRole("dialog", { name: "title, row 2" }).textContent).toContain(LONG);
    fireEvent.click(screen.getByRole("button", { name: "Next" }));
    expect(await screen.findByText("Rows 51 to 51")).toBeTruthy();
    expect(screen.getByRole<HTMLButtonElement>("button", { name: "Next" }).disabled).toBe(true);
    fireEvent.click(screen.getByRole("button", { name: "Tables" }));
    expect(document.activeElement?.textContent).toContain("books");
  });

  test("what cannot be read is said in the service's sentence, and the rest is shown", async () => {
    const said = { detail: "The server has ended." };
    open(service((call) => (call === "GET /preview/services" ? json(said, 409) : undefined)));
    expect((await screen.findByRole("alert")).textContent).toContain("The server has ended.");
    expect(screen.getByRole("button", { name: /51 rows/ })).toBeTruthy();
  });

  test("they are read again when the preview has changed", async () => {
    const client = service();
    const { result } = renderHook(() => usePreviewData("g1", { client }));
    await waitFor(() => expect(result.current.databases).toHaveLength(1));
    const before = asked.filter((call) => call === "GET /preview/data").length;
    act(() => client.noteChange("g1"));
    await waitFor(() => expect(asked.filter((call) => call === "GET /preview/data")).toHaveLength(before + 1));
  });
});

describe("SQL", () => {
  test("a statement is sent to the database, and its result or the database's message is shown", async () => {
    const sent: unknown[] = [];
    const client = service((call, body) => {
      if (call !== "POST /preview/data/query") return undefined;
      sent.push(JSON.parse(body));
      if (sent.length === 1) return json({ detail: 'syntax error at "selec"' }, 422);
      return json({ columns: [{ name: "n", type: "" }], rows: [["7"]], is_cut: false, elapsed_ms: 3 });
    });
    open(client, /SQL/);
    const field = await screen.findByRole("textbox", { name: "SQL statement" });
    fireEvent.change(field, { target: { value: "selec 7" } });
    fireEvent.keyDown(field, { key: "Enter", ctrlKey: true });
    expect((await screen.findByRole("alert")).textContent).toBe('syntax error at "selec"');
    fireEvent.change(field, { target: { value: "select 7" } });
    fireEvent.keyDown(field, { key: "Enter", ctrlKey: true });
    expect(await screen.findByText("1 row in 3 ms")).toBeTruthy();
    expect(sent).toContainEqual({ database: "postgresql", sql: "select 7", limit: 100 });
    // Another tab, and back.
    fireEvent.click(screen.getByRole("tab", { name: "Databases" }));
    fireEvent.click(screen.getByRole("tab", { name: "SQL" }));
    expect(screen.getByText("1 row in 3 ms")).toBeTruthy();
  });
});

describe("snapshots", () => {
  test("a restore asks first, and says how to undo it", async () => {
    const before = snapshot("s3", "before the restore", { kind: "before_restore" });
    const client = service((call) => {
      if (call !== "POST /preview/snapshots/s2/restore") return undefined;
      snapshots.unshift(before);
      return json({ before, elapsed_ms: 12 });
    });
    open(client, /Snapshots/);
    fireEvent.click(await screen.findByRole("button", { name: "Restore after lunch" }));
    const question = screen.getByRole("alertdialog", { name: "Restore “after lunch”?" });
    expect(question.textContent).toContain("saved as a snapshot first");
    fireEvent.click(within(question).getByRole("button", { name: "Cancel" }));
    expect(asked.filter((call) => call.startsWith("POST"))).toEqual([]);
    fireEvent.click(screen.getByRole("button", { name: "Restore after lunch" }));
    agree();
    expect(
      await screen.findByText(/Restored “after lunch” in 12 ms. To undo this, restore “before the restore”/),
    ).toBeTruthy();
    expect(await screen.findByRole("tab", { name: "Snapshots (3)" })).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "Undo…" }));
    expect(screen.getByRole("alertdialog").textContent).toContain("before the restore");
  });

  test("one is saved with a click, and a refusal is shown", async () => {
    const sent: unknown[] = [];
    const client = service((call, body) => {
      if (call !== "POST /preview/snapshots") return undefined;
      sent.push(JSON.parse(body));
      if (sent.length === 2) return json({ detail: "You have 20 snapshots; delete one." }, 409);
      snapshots.unshift(snapshot("s3", "new"));
      return json(snapshots[0], 201);
    });
    open(client, /Snapshots/);
    const form = await screen.findByRole("form", { name: "Save a snapshot" });
    fireEvent.submit(form);
    expect(await screen.findByText("Saved “new”.")).toBeTruthy();
    fireEvent.submit(form);
    expect((await screen.findByRole("alert")).textContent).toContain("You have 20 snapshots; delete one.");
    expect(sent[0]).toEqual({ name: "" });
  });

  test("without a running preview they can be compared with each other, forked and deleted", async () => {
    state = "none";
    const client = service((call) => {
      if (call === "DELETE /preview/snapshots/s1") return new Response(null, { status: 204 });
      if (call === "POST /preview/snapshots/s1/undelete") return json(snapshot("s1", ""));
      if (call.includes("/diff/")) return json({ files: [], databases: [], is_cut: false });
      return undefined;
    });
    open(client, /Snapshots/);
    await screen.findByRole("button", { name: "Fork after lunch" });
    expect(screen.queryByRole("button", { name: /Restore|Reset|Save/ })).toBeNull();
    fireEvent.click(screen.getByRole("button", { name: "Compare after lunch" }));
    expect(await screen.findByText("Nothing has changed.")).toBeTruthy();
    expect(asked).toContain("GET /preview/snapshots/s1/diff/s2");
    fireEvent.click(screen.getByRole("button", { name: "Snapshots" }));
    fireEvent.click(screen.getByRole("button", { name: /^Delete Snapshot/ }));
    agree();
    expect(await screen.findByText(/^Deleted “Snapshot/)).toBeTruthy();
    fireEvent.click(screen.getByRole("button", { name: "Undo" }));
    expect(await screen.findByText(/^Undeleted “/)).toBeTruthy();
  });

  test("an answer about another generation is not shown", async () => {
    let answer: ((response: Response) => void) | undefined;
    const client = clientOf(({ path }) => {
      if (path.includes("/g2/")) return json({ snapshots: [] });
      return new Promise<Response>((resolve) => (answer = resolve));
    });
    const { result, rerender } = renderHook(({ id }) => usePreviewSnapshots(id, { client }), {
      initialProps: { id: "g1" },
    });
    await waitFor(() => expect(answer).toBeTruthy());
    rerender({ id: "g2" });
    await waitFor(() => expect(result.current.snapshots).toEqual([]));
    await act(() => {
      answer?.(json({ snapshots }));
      return Promise.resolve();
    });
    expect(result.current.snapshots).toEqual([]);
  });
});

test("a changed row shows its first column and what differs", () => {
  const before = { id: "3", title: "Emma", price: "9.90", constructor: "dropped" };
  const after = { id: "3", title: "Emma", price: null };
  const samples = [{ change: "changed" as const, before, after }];
  const table = { name: "books", added: 0, changed: 1, removed: 0, samples, note: null };
  const files = [{ path: "a\u202eb", change: "added" as const, size_before: null, size_after: 4 }];
  render(<Diff diff={{ files, databases: [{ name: "PostgreSQL", tables: [table] }], is_cut: true }} />);
  expect(screen.getByRole("list", { name: "Samples of books" }).textContent).toBe(
    "~id3price9.90 → NULLconstructordropped → NULL",
  );
  expect(screen.getByText("a\\u202eb")).toBeTruthy();
  expect(screen.getByRole("note").textContent).toContain("more changes");
});
