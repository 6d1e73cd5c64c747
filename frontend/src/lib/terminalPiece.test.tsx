import { act, cleanup, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import { clientOf, frame, json, line, statusEvent, Stream } from "./testing";
import { PreviewTerminal } from "./TerminalPiece";

afterEach(cleanup);

test("a host gets each line once and in order, and each change of state, over the terminal's connection", async () => {
  const stream = new Stream();
  const asked: string[] = [];
  const client = clientOf(({ path }) => {
    asked.push(path);
    return path.includes("/logs/stream") ? stream.response : json({ previews: [], lines: [], first_kept: 1 });
  });
  const lines: number[] = [];
  const states: string[] = [];
  render(
    <PreviewTerminal
      generationId="g-host"
      client={client}
      onLine={(one) => lines.push(one.seq)}
      onStatus={(one) => states.push(one.status)}
    />,
  );
  act(() => stream.write(statusEvent("p1") + frame(line(1)) + frame(line(2))));
  await waitFor(() => expect(lines).toEqual([1, 2]));
  act(() => stream.write(frame(line(2)) + frame(line(3)) + statusEvent("p1", "stopping")));
  await waitFor(() => expect(states).toEqual(["running", "stopping"]));
  expect(lines).toEqual([1, 2, 3]);
  // The terminal is fetched late.
  expect(await screen.findByRole("region", { name: "Log" }, { timeout: 30_000 })).toBeTruthy();
  expect(asked.filter((path) => path.includes("/logs/stream"))).toHaveLength(1);
});
