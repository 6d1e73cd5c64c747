import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { RequestDesk } from "../request/desk";
import { clientOf, json } from "../testing";
import { RecordTools } from "./RecordTools";
import type { Records } from "./useRecords";

afterEach(cleanup);

test.each([
  [[], 0, "2 requests read, but not imported: recording is off. Switch it on, then import the file again."],
  [[1, 2], 0, "2 requests imported."],
  [[1, 2], 1, "2 requests imported, 1 left out: to other hosts, or with a body that is too large."],
])("after an import of records %j with %i left out, the page says why", async (numbers, skipped, said) => {
  const client = clientOf(() => json({ host: "shop.example", numbers, skipped, requests: [{}, {}] }));
  const records = { records: [], capture: "off", refresh: vi.fn() } as unknown as Records;
  const common = { client, generationId: "g", desk: new RequestDesk(client, "g"), records, filter: "" };
  render(<RecordTools {...common} selection={null} isRunning />);
  fireEvent.change(screen.getByLabelText("HAR file"), { target: { files: [new File(["{}"], "a.har")] } });
  expect(await screen.findByText(said)).toBeTruthy();
});

test("a curl command can be pasted at once: its field has the focus when the dialog is open", () => {
  // As in a browser: nothing in a closed dialog takes the focus, and the first button gets it when it opens.
  const open = vi.spyOn(HTMLDialogElement.prototype, "showModal").mockImplementation(function (
    this: HTMLDialogElement,
  ): void {
    this.open = true;
    this.querySelector("button")?.focus();
  });
  const client = clientOf(() => json({}));
  const records = { records: [], capture: "off", refresh: vi.fn() } as unknown as Records;
  const common = { client, generationId: "g", desk: new RequestDesk(client, "g"), records, filter: "" };
  render(<RecordTools {...common} selection={null} isRunning />);
  fireEvent.click(screen.getByText("Paste a curl command"));
  expect(document.activeElement?.tagName).toBe("TEXTAREA");
  open.mockRestore();
});
