import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, expect, test, vi } from "vitest";

import { clientOf, json } from "../testing";
import { type DeskSnapshot, RequestDesk } from "./desk";
import { draftOf } from "./draft";
import { Editor } from "./Editor";

afterEach(cleanup);

const endpoint = (path: string) => ({
  method: "GET",
  path,
  summary: "",
  description: "",
  tags: [],
  query: {},
  body: null,
  response: null,
  source: "static" as const,
});
const common = {
  onCancel: vi.fn(),
  isSending: false,
  unavailable: null,
  onOpenFile: undefined,
  baseUrl: null,
  hasResponse: false,
};
const edited = (snapshot: DeskSnapshot, desk: RequestDesk, onSend = vi.fn()) => (
  <StrictMode>
    <Editor {...common} draft={snapshot.draft} onDraft={desk.write} onSend={onSend} takePicked={desk.takePicked} />
  </StrictMode>
);

test("Send without a required field leads to it, and says that it is required", () => {
  const onSend = vi.fn();
  const draft = draftOf(endpoint("/shops/{shop}/books/{book}"));
  const filled = { ...draft, pathFields: draft.pathFields.map((one, at) => ({ ...one, value: at === 0 ? "7" : "" })) };
  render(<Editor {...common} draft={filled} onDraft={vi.fn()} onSend={onSend} />);
  const button = screen.getByRole("button", { name: "Send" });
  button.focus();
  fireEvent.click(button);
  expect(onSend).not.toHaveBeenCalled();
  const field = screen.getByRole("textbox", { name: "Path: book" });
  expect(document.activeElement).toBe(field);
  const problem = field.getAttribute("aria-describedby");
  expect(problem && document.getElementById(problem)?.textContent).toBe("book is required.");
  // Once: the sentence is at its field, and the form does not move while it is filled.
  expect(screen.getAllByText("book is required.")).toHaveLength(1);
});

test("a path without its slash has the focus, too", () => {
  render(<Editor {...common} draft={draftOf(endpoint("books"))} onDraft={vi.fn()} onSend={vi.fn()} />);
  fireEvent.click(screen.getByRole("button", { name: "Send" }));
  expect(document.activeElement).toBe(screen.getByRole("textbox", { name: "Path" }));
});

test("a picked endpoint has the focus in its first empty field, once", () => {
  const desk = new RequestDesk(
    clientOf(() => json({})),
    "g",
  );
  desk.pick(endpoint("/books/{book}"));
  const { rerender, unmount } = render(edited(desk.snapshot, desk));
  expect(document.activeElement).toBe(screen.getByRole("textbox", { name: "Path: book" }));
  desk.pick(endpoint("/shops/{shop}"));
  rerender(edited(desk.snapshot, desk));
  expect(document.activeElement).toBe(screen.getByRole("textbox", { name: "Path: shop" }));
  // Who comes back to the form later, by its tab, keeps the focus.
  unmount();
  render(edited(desk.snapshot, desk));
  expect(document.activeElement).toBe(document.body);
});

test("a picked endpoint without empty fields can be sent at once", () => {
  const desk = new RequestDesk(
    clientOf(() => json({})),
    "g",
  );
  desk.pick(endpoint("/health"));
  render(edited(desk.snapshot, desk));
  expect(document.activeElement).toBe(screen.getByRole("button", { name: "Send" }));
});
