import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { line } from "../testing";
import { LogLines } from "./LogLines";

afterEach(cleanup);

const lines = (many: number) => Array.from({ length: many }, (_, at) => line(at + 7));

test("few lines of a request are shown, with the way to them in the log", () => {
  const onShow = vi.fn();
  render(<LogLines lines={lines(2)} isExact onShow={onShow} />);
  expect(screen.getAllByRole("listitem").map((one) => one.textContent.slice(-6))).toEqual(["line 7", "line 8"]);
  expect(screen.getByText("of this request")).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: "Show in the log" }));
  expect(onShow).toHaveBeenCalledWith(7);
});

test("many are folded until asked for, and no more than a page's worth is listed", () => {
  render(<LogLines lines={lines(205)} isExact={false} onShow={() => undefined} />);
  expect(screen.queryByRole("listitem")).toBeNull();
  expect(screen.getByText("while it ran")).toBeTruthy();
  fireEvent.click(screen.getByRole("button", { name: "205 log lines" }));
  expect(screen.getAllByRole("listitem")).toHaveLength(201);
  expect(screen.getByText("… and 5 more lines, in the log")).toBeTruthy();
});

test("a request without lines has no such part", () => {
  const { container } = render(<LogLines lines={[]} isExact onShow={() => undefined} />);
  expect(container.textContent).toBe("");
});
