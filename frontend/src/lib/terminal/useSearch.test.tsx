import { act, renderHook, waitFor } from "@testing-library/react";
import { expect, onTestFinished, test, vi } from "vitest";

import { LogStore } from "../logs/store";
import { LogView } from "../logs/view";
import type { Screen } from "./screen";
import { useSearch, useWanted } from "./useSearch";

function searching(messages: readonly string[]) {
  const store = new LogStore();
  const add = (message: string, seq: number) =>
    store.append([{ seq, timestamp: "2026-01-01T00:00:00Z", level: "INFO", source: "subprocess", message }]);
  messages.forEach((message, at) => add(message, at + 1));
  const view = new LogView(store);
  const revealLine = vi.fn();
  const screen = { mark: vi.fn(), revealLine, topLine: view.first } as unknown as Screen;
  const hook = renderHook(() => useSearch(view, screen, true, useWanted(true)));
  const type = (text: string) => act(() => hook.result.current.setQuery({ text, regex: false, matchCase: false }));
  return { add, hook, revealLine, type, first: view.first };
}

test("Enter before the matches are known goes to the first one when they are", async () => {
  const { hook, revealLine, type, first } = searching(["one", "two", "one more"]);
  type("one");
  act(() => hook.result.current.go(1));
  expect(revealLine).not.toHaveBeenCalled();
  await waitFor(() => expect(revealLine).toHaveBeenCalledExactlyOnceWith(first), { timeout: 60_000 });
  expect(hook.result.current.index).toBe(0);
});

test("Shift and Enter before the matches are known go to the last one", async () => {
  const { revealLine, hook, type, first } = searching(["one", "two", "one more"]);
  type("one");
  act(() => hook.result.current.go(-1));
  await waitFor(() => expect(revealLine).toHaveBeenCalledExactlyOnceWith(first + 2), { timeout: 60_000 });
});

test("a step is forgotten with its text, and when nothing is found", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const looked = () => act(() => vi.advanceTimersByTimeAsync(1_000));
  const { add, hook, revealLine, type } = searching(["one", "two"]);
  type("on");
  act(() => hook.result.current.go(1));
  type("one");
  await looked();
  expect(hook.result.current.total).toBe(1);
  type("three");
  act(() => hook.result.current.go(1));
  await looked();
  act(() => add("three", 3));
  await looked();
  expect(hook.result.current.total).toBe(1);
  expect(revealLine).not.toHaveBeenCalled();
});
