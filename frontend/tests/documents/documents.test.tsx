// The terminal of the original documents, with the built package in the place of its own hook.
import { PreviewClient, PreviewProvider } from "@preview/react";
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { frame, line, statusEvent, Stream } from "../../src/lib/testing";
import { PreviewTerminal } from "./PreviewTerminal";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

test("the documents' own terminal shows lines, levels and the connection", async () => {
  const stream = new Stream();
  vi.stubGlobal("fetch", () => Promise.resolve(stream.response));
  const client = new PreviewClient({ baseUrl: "http://service" });
  render(
    <PreviewProvider client={client}>
      <PreviewTerminal generationId="gen_documents" />
    </PreviewProvider>,
  );
  expect(screen.getByText("Waiting for logs...")).toBeTruthy();
  const warning = line(2, "\u001b[33mthe till is nearly empty\u001b[0m", { level: "WARNING" });
  stream.write(statusEvent("p1") + frame(line(1, "hello")) + frame(warning));
  expect(await screen.findByText("hello")).toBeTruthy();
  expect(screen.getByText("Live")).toBeTruthy();
  expect(screen.getByText("2 lines")).toBeTruthy();
  expect(screen.getByText("the till is nearly empty").parentElement?.className).toContain("text-yellow-400");
});
