import { describe, expect, test } from "vitest";

import { clientOf, line, toldStep } from "../testing";
import { asksForHealth, healthCheckOf, isHealthCheck } from "./health";
import { LogSession } from "./session";
import { LogStore } from "./store";
import { EVERYTHING, LogView } from "./view";

const CHECK = { path: "/health", status: "200" };
const access = (seq: number, path: string, status = 200) =>
  line(seq, `INFO:     127.0.0.1:40312 - "GET ${path} HTTP/1.1" ${status} OK`);

describe("a health check in the log", () => {
  test.each([
    'INFO:     127.0.0.1:40312 - "GET /health HTTP/1.1" 200 OK',
    '127.0.0.1 - - [21/Nov/2026 15:04:43] "GET /health HTTP/1.1" 200 -',
    "\u001b[0mGET /health \u001b[32m200\u001b[0m 1.402 ms - 15",
    '[GIN] 2026/11/21 - 15:04:43 | 200 |  31.2µs | 127.0.0.1 | GET      "/health"',
    '"GET /health/ HTTP/1.1" 200',
  ])("is known by its access line: %s", (message) => {
    expect(isHealthCheck(line(1, message), CHECK)).toBe(true);
  });

  test.each([
    '"GET /health HTTP/1.1" 503 Service Unavailable',
    '"GET /healthy HTTP/1.1" 200 OK',
    '"GET /health/deep HTTP/1.1" 200 OK',
    '"POST /health HTTP/1.1" 200 OK',
    "the route /health is ready",
  ])("is not what another line says: %s", (message) => {
    expect(isHealthCheck(line(1, message), CHECK)).toBe(false);
  });

  test("may be any answer, where the first one was no better", () => {
    expect(isHealthCheck(access(1, "/", 404), { path: "/", status: "404" })).toBe(true);
    expect(isHealthCheck(access(1, "/", 500), { path: "/", status: "404" })).toBe(false);
  });

  test("is what the last step of the launch has asked for", () => {
    expect(
      healthCheckOf([toldStep("files"), toldStep("answers", { answer: { path: "/health", status: 200 } })]),
    ).toEqual(CHECK);
    expect(healthCheckOf([toldStep("answers", { detail: "GET /health -> 200" })])).toBeNull();
    expect(healthCheckOf(undefined)).toBeNull();
    expect(asksForHealth("GET /health?deep=1", CHECK)).toBe(true);
    expect(asksForHealth("GET /books", CHECK)).toBe(false);
  });

  test("is each line that is printed for it, but no error and no line of somebody's request", () => {
    const store = new LogStore();
    store.append([
      line(1, "root called", { request_id: "ab12.check" }),
      line(2, "it breaks", { request_id: "ab12.check", level: "ERROR" }),
      line(3, "root called", { request_id: "ab13" }),
      { ...access(4, "/health"), request_id: "ab14" },
      access(5, "/health"),
    ]);
    const view = new LogView(store, { ...EVERYTHING, hidesChecks: true, without: CHECK });
    expect(view.slice(view.first, view.end).map((one) => one.seq)).toEqual([2, 3, 4]);
    expect(view.hidden).toBe(2);
    expect(new LogView(store, { ...EVERYTHING, hidesChecks: false }).lines).toBe(5);
  });

  test("is left out and counted, but for those that somebody asked for", () => {
    const store = new LogStore();
    store.append([access(1, "/health"), access(2, "/books"), access(3, "/health"), access(4, "/health")]);
    const isOwn = ({ seq }: { seq: number }): boolean => seq === 3;
    const view = new LogView(store, { ...EVERYTHING, without: CHECK, isOwn });
    expect(view.slice(view.first, view.end).map((one) => one.seq)).toEqual([2, 3]);
    expect([view.lines, view.hidden]).toEqual([2, 2]);
  });
});

test("lines that were cleared are shown again, before those that came since", () => {
  const session = new LogSession(
    clientOf(() => new Response()),
    "g1",
  );
  const { store } = session;
  store.append([line(1), line(2)]);
  const views = [new LogView(store), new LogView(store, { ...EVERYTHING, levels: ["INFO"] })];
  store.appendNote("a remark");
  session.clear();
  expect([store.lines, store.hasCleared, store.hasOlder]).toEqual([0, true, false]);
  for (const view of views) view.sync();
  store.append([line(3)]);
  session.clear();
  store.append([line(4)]);
  session.restore();
  for (const view of views) {
    view.sync();
    expect(view.slice(view.first, view.end).map((one) => one.seq)).toEqual([1, 2, 2, 3, 4]);
    expect(view.lines).toBe(4);
  }
  expect(store.hasCleared).toBe(false);
});
