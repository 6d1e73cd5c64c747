// The built package in another app: it can be imported, it has types, it renders, and its styles stay its own.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { cleanup, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { frame, json, line, statusEvent, Stream } from "../src/lib/testing";
import { Studio } from "./example/App";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

test("an app that imports the package shows the preview's state and its lines", async () => {
  const instance = {
    id: "p1",
    generation_id: "gen_1",
    status: "running",
    health: "healthy",
    base_url: "http://localhost:3001",
    reason: null,
  };
  const stream = new Stream();
  const asked: { path: string; authorization: string | null }[] = [];
  vi.stubGlobal("fetch", (address: string, init?: RequestInit) => {
    const { pathname: path } = new URL(address);
    asked.push({ path, authorization: new Headers(init?.headers).get("authorization") });
    if (path.endsWith("/stream")) return Promise.resolve(stream.response);
    if (path.endsWith("/previews")) return Promise.resolve(json({ previews: [instance] }));
    if (path.endsWith("/snapshots")) return Promise.resolve(json({ snapshots: [] }));
    if (path.endsWith("/data")) return Promise.resolve(json({ databases: [] }));
    if (path.endsWith("/services")) return Promise.resolve(json({ services: [] }));
    if (path.endsWith("/endpoints"))
      return Promise.resolve(json({ endpoints: [{ method: "GET", path: "/books", tags: [] }] }));
    return Promise.resolve(json(instance));
  });
  render(<Studio service="http://service" token="secret" />);
  stream.write(statusEvent("p1") + frame(line(1, "hello")));
  await waitFor(() => expect(screen.getByTestId("badge").textContent).toBe("running live hello 0"));
  expect(await screen.findByRole("heading", { name: "My backend" })).toBeTruthy();
  expect(await screen.findByRole("button", { name: /GET \/books/ })).toBeTruthy();
  expect(await screen.findByRole("region", { name: "Log" })).toBeTruthy();
  expect(await screen.findByText(/This preview has no database/)).toBeTruthy();
  expect(asked.every((one) => one.authorization === "Bearer secret")).toBe(true);
  expect(asked.filter((one) => one.path.endsWith("/stream"))).toHaveLength(1);
});

test("the styles reach nothing outside the pieces", () => {
  const css = readFileSync(resolve(import.meta.dirname, "../dist/preview-react.css"), "utf8").replace(
    /\/\*[\s\S]*?\*\//g,
    "",
  );
  const selectors = [...css.matchAll(/([^{}]+)\{/g)].map((match) => (match[1] ?? "").trim());
  const own = /^(@|from$|to$|\d+%|:where\(\.preview-root\)|\.preview-root$|[a-z]*\._|\*|&)|^\.[\w-]+_[\w-]+/;
  expect(
    selectors
      .flatMap((one) => one.split(/,(?![^(]*\))/))
      .map((one) => one.trim())
      .filter((one) => !own.test(one)),
  ).toEqual([]);
});
