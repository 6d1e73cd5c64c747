import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import Markdown, { MOST_MARKDOWN_CHARS } from "./Markdown";

afterEach(cleanup);

const shown = (text: string, onFile = (): null => null) => render(<Markdown text={text} onFile={onFile} />).container;

test("a hostile README is text: no markup, no script, no address that acts, and nothing is loaded", () => {
  const container = shown(
    [
      "<script>alert(1)</script>",
      "",
      "<img src=x onerror=alert(1)>",
      "",
      "text <b onclick=alert(1)>bold</b> <svg/onload=alert(1)>",
      "",
      "[a](javascript:alert(1)) [b](JaVaScRiPt:alert`1`) [c](data:text/html,x) [d](vbscript:x) <javascript:alert(1)>",
      "",
      '[e]( java\tscript:alert(1)) [f](//evil.example) [g](https://ok.example/"onmouseover=alert(1))',
      "",
      "![pixel](https://evil.example/pixel.png) [![badge](https://evil.example/b.svg)](https://ok.example)",
      "",
      "\u202eevil &lt;script&gt;",
      "",
      "[x]: javascript:alert(1)",
      "",
      "[x] <!-- hidden -->",
    ].join("\n"),
  );
  expect(
    container.querySelectorAll("script, img, svg, b, iframe, style, object, [onclick], [onmouseover]"),
  ).toHaveLength(0);
  const addresses = [...container.querySelectorAll("a")].map((one) => one.getAttribute("href") ?? "");
  expect(addresses.every((one) => /^https:\/\/(?:ok|evil)\.example/.test(one))).toBe(true);
  for (const one of container.querySelectorAll("a")) expect(one.rel).toBe("noopener noreferrer");
  expect(container.textContent).toContain("\\u202eevil");
});

test("a text that is nested or long without end is shown soon, and bounded", () => {
  for (const part of [">", "- ", "*a ", "[", "![", "a`", "<", "|"]) {
    const container = shown(`${part.repeat(3_000)}x`);
    let depth = 0;
    for (let one = container.querySelector("div > *"); one; one = one.firstElementChild) depth += 1;
    expect(depth).toBeLessThan(80);
    expect(container.textContent).toContain("x");
    cleanup();
  }
  expect(shown("x".repeat(MOST_MARKDOWN_CHARS + 1)).querySelector("pre")).toBeTruthy();
}, 60_000);

test("a text at the limit of characters that would take seconds to read is shown as it is written", () => {
  for (const part of ["- ", "a*_", "[a](", "> ", "1. ", "*a ", "<a", "a`", "| "]) {
    const text = part.repeat(Math.floor(MOST_MARKDOWN_CHARS / part.length));
    expect(shown(text).querySelector("div > pre")?.textContent, part).toBe(text);
    cleanup();
  }
  // The clock decides where many parts take long together; a README of this size does not.
  const now = vi.spyOn(performance, "now").mockReturnValue(0);
  const readme = "## Part\n\nSome *words* with `code`, and [a link](https://ok.example).\n\n- one\n- two\n\n".repeat(
    900,
  );
  expect(shown(readme).querySelectorAll("h4").length).toBe(900);
  cleanup();
  let clock = 0;
  now.mockImplementation(() => (clock += 10_000));
  expect(shown(readme).querySelector("div > pre")).toBeTruthy();
  now.mockRestore();
}, 120_000);

test("headings, lists, code, tables and links to files are shown as such", () => {
  const open = vi.fn();
  const onFile = (path: string): (() => void) | null => (path === "docs/a.md" ? open : null);
  const text = [
    "# Shop *app*",
    "",
    "1. one `code`",
    "2. [guide](./docs/a.md#x) and [gone](no.md)",
    "",
    "```python",
    "print('<b>')",
    "```",
    "",
    "| a | b |",
    "| --- | --- |",
    "| 1 | **2** |",
    "",
    "- [x] done",
    "",
    "See https://ok.example/a.",
  ].join("\n");
  render(<Markdown text={text} onFile={onFile as never} />);
  expect(screen.getByRole("heading", { level: 3 }).textContent.trim()).toBe("Shop app");
  fireEvent.click(screen.getByRole("button", { name: "guide" }));
  expect(open).toHaveBeenCalledOnce();
  expect(screen.queryByRole("button", { name: "gone" })).toBeNull();
  expect(screen.getByText("print('<b>')")).toBeTruthy();
  expect(screen.getAllByRole("cell").map((one) => one.textContent.trim())).toEqual(["1", "2"]);
  expect(screen.getByRole<HTMLInputElement>("checkbox").checked).toBe(true);
  expect(screen.getByRole("link").getAttribute("href")).toBe("https://ok.example/a");
});
