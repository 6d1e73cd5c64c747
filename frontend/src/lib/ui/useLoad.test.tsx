import { act, renderHook, waitFor } from "@testing-library/react";
import { expect, test } from "vitest";

import { useLoad } from "./useLoad";

test("one key is read once, and again for another version; the value stays meanwhile", async () => {
  const signals: AbortSignal[] = [];
  const load = (signal: AbortSignal): Promise<number> => {
    signals.push(signal);
    return Promise.resolve(signals.length);
  };
  const { result, rerender } = renderHook(
    ({ id, version }: { id: string | null; version: string }) => useLoad(id, load, version),
    { initialProps: { id: null as string | null, version: "none" } },
  );
  expect(signals).toHaveLength(0);
  // What is shown and its state come to be known at once: nothing is asked twice.
  rerender({ id: "a", version: "running" });
  await waitFor(() => expect(result.current.value).toBe(1));
  expect(signals.map((one) => one.aborted)).toEqual([false]);
  rerender({ id: "a", version: "stopped" });
  expect(result.current.value).toBe(1);
  await waitFor(() => expect(result.current.value).toBe(2));
  await act(async () => Promise.resolve());
  expect(signals).toHaveLength(2);
});
