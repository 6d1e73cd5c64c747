import { expect, test } from "vitest";

import { line } from "../testing";
import { choiceOf, queryOf } from "./exportQuery";
import { isAbout, linesAbout, overMark, type RequestMark } from "./marks";
import { LogStore } from "./store";
import { EVERYTHING, type LogFilter, LogView } from "./view";

const running: RequestMark = { id: 1, label: "GET /a", fromSeq: 2, toSeq: null, requestId: null, isExact: false };

function storeOf(...requests: (string | undefined)[]): LogStore {
  const store = new LogStore();
  store.append(requests.map((id, at) => line(at + 1, "said", id === undefined ? {} : { request_id: id })));
  return store;
}

const seqs = (mark: RequestMark, store: LogStore) => linesAbout(mark, store, null).map((one) => one.seq);

test("where lines carry the request's id they are the request's, and no others", () => {
  const store = storeOf("r1", undefined, "r1", "r2", "r1");
  const mark = overMark(running, { requestId: "r1", range: { first_seq: 3, last_seq: 4 } }, store, null);
  expect(mark.isExact).toBe(true);
  expect(seqs(mark, store)).toEqual([3, 5]);
  store.append([line(6, "later"), line(7, "later", { request_id: "r1" })]);
  expect(seqs(mark, store)).toEqual([3, 5, 7]);
});

test("where none does they are those of the range that carry no other's id", () => {
  const store = storeOf(undefined, undefined, undefined, "r2", undefined);
  const mark = overMark(running, { requestId: "r1", range: { first_seq: 3, last_seq: 5 } }, store, null);
  expect(mark.isExact).toBe(false);
  expect(seqs(mark, store)).toEqual([3, 5]);
  store.append([line(6, "later")]);
  expect(seqs(mark, store)).toEqual([3, 5]);
});

test("without word from the service the time decides", () => {
  const store = storeOf(undefined, undefined, undefined);
  expect(isAbout(running, line(9), null)).toBe(true);
  expect(seqs(overMark(running, {}, store, null), store)).toEqual([2, 3]);
});

test("a line's position is found by its number, under a filter too", () => {
  const store = new LogStore();
  store.append([1, 2, 3, 4, 5].map((seq) => line(seq, "x", { level: seq % 2 ? "INFO" : "ERROR" })));
  const errors = new LogView(store, { ...EVERYTHING, levels: ["ERROR"] });
  expect([0, 2, 3, 4, 9].map((seq) => errors.positionOf(seq) - errors.first)).toEqual([0, 0, 1, 1, 2]);
  expect(new LogView(store).positionOf(3)).toBe(2);
});

test("a filter is said in the service's words where they have it", () => {
  expect(choiceOf(EVERYTHING)).toEqual({});
  expect(choiceOf({ ...EVERYTHING, levels: ["ERROR", "WARNING"] })).toEqual({ level: "WARNING" });
  expect(choiceOf({ ...EVERYTHING, sources: ["system"] })).toEqual({ source: "system" });
  expect(choiceOf({ ...EVERYTHING, levels: ["INFO", "ERROR"] })).toBeNull();
  expect(choiceOf({ ...EVERYTHING, levels: [] })).toBeNull();
  expect(choiceOf({ ...EVERYTHING, sources: [] })).toBeNull();
});

test("a download has the lines that the filter shows", () => {
  const filter = { ...EVERYTHING, levels: ["ERROR"], onlyStderr: true } satisfies LogFilter;
  expect(queryOf(filter, "")).toEqual({ level: "ERROR", filter: "stream:stderr" });
  expect(queryOf(filter, "a OR b")).toEqual({ level: "ERROR", filter: "(a OR b) stream:stderr" });
  expect(queryOf(EVERYTHING, "a OR b")).toEqual({ filter: "a OR b" });
});
