import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { useState, type ReactNode } from "react";
import { afterEach, expect, test } from "vitest";

import { nextTab, Tabs } from "./Tabs";

afterEach(cleanup);

function Three(): ReactNode {
  const [tab, setTab] = useState("a");
  return (
    <Tabs
      label="Three"
      tabs={[
        ["a", "A"],
        ["b", "B"],
        ["c", "C"],
      ]}
      tab={tab}
      onTab={setTab}
    />
  );
}

test("arrow keys choose the next tab and take the focus along", () => {
  render(<Three />);
  fireEvent.keyDown(screen.getByRole("tab", { name: "A" }), { key: "ArrowRight" });
  const second = screen.getByRole("tab", { name: "B" });
  expect(second.getAttribute("aria-selected")).toBe("true");
  expect(document.activeElement).toBe(second);
});

test("only the chosen tab is a stop of the Tab key", () => {
  render(<Three />);
  expect(screen.getAllByRole("tab").map((one) => one.tabIndex)).toEqual([0, -1, -1]);
});

test.each([
  ["ArrowRight", 2, 0],
  ["ArrowLeft", 0, 2],
  ["Home", 2, 0],
  ["End", 0, 2],
  ["Enter", 1, null],
])("%s from %i of three leads to %s", (key, at, expected) => {
  expect(nextTab(key, at, 3)).toBe(expected);
});
