import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { EVERYTHING } from "../logs/view";
import { FilterRow } from "./FilterRow";

afterEach(cleanup);

test("the chip of standard error says which lines it leaves, and how many are loaded", () => {
  const counts = {
    levels: { DEBUG: 0, INFO: 5, WARNING: 0, ERROR: 1 },
    sources: { subprocess: 4, system: 2 },
    streams: { stderr: 3 },
  };
  render(<FilterRow filter={EVERYTHING} counts={counts} onFilter={vi.fn()} />);
  expect(screen.getByRole("button", { name: "Standard error" }).title).toBe(
    "3 lines of the loaded lines. Only lines that are known to come from standard error. Node’s own crash report is not included.",
  );
  expect(screen.getByRole("button", { name: "Errors" }).title).toBe("1 line of the loaded lines");
});
