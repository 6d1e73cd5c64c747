import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Problem } from "../api/problem";
import type { LogLine } from "../api/types";
import { endEvent, event, frame, line, statusEvent, Stream } from "../testing";
import { backoffMs, LONGEST_WAIT_MS } from "./backoff";
import { type ConnectionState, LogConnection, type StreamEvent } from "./connection";

describe("the wait before a new attempt", () => {
  test("grows from the server's retry and has a bound", () => {
    const longest = [1, 2, 3, 4, 5, 50].map((attempt) => backoffMs(attempt, 2_000, () => 1));
    expect(longest).toEqual([2_000, 4_000, 8_000, 16_000, LONGEST_WAIT_MS, LONGEST_WAIT_MS]);
  });

  test("is spread over the upper half", () => {
    expect(backoffMs(1, 2_000, () => 0)).toBe(1_000);
    expect(backoffMs(1, 2_000, () => 0.5)).toBe(1_500);
  });
});

class Watched {
  readonly asked: (number | undefined)[] = [];
  readonly events: StreamEvent[] = [];
  readonly states: ConnectionState[] = [];
  readonly connection: LogConnection;

  constructor(answers: (() => Response | Promise<Response>)[], resume?: { previewId: string; lastSeq: number }) {
    this.connection = new LogConnection({
      open: (after) => {
        this.asked.push(after);
        const next = answers.shift();
        return next ? Promise.resolve().then(next) : new Promise(() => undefined);
      },
      onEvent: (one) => this.events.push(one),
      onState: (state) => this.states.push(state),
      random: () => 1,
      resume,
    });
    this.connection.start();
  }

  get lines(): LogLine[] {
    return this.events.flatMap((one) => (one.kind === "lines" ? one.lines : []));
  }

  get phases(): string[] {
    return this.states.map((state) => state.phase);
  }
}

describe("a log connection", () => {
  let watched: Watched | undefined;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  });
  afterEach(() => {
    watched?.connection.stop();
    vi.useRealTimers();
  });
  // A stream hands its parts on over several turns of the loop, more of them on a busy machine.
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn += 1) {
      await new Promise((done) => setImmediate(done));
    }
  };

  test("a line keeps its request and its stream, and one without has none", async () => {
    const stream = new Stream();
    watched = new Watched([() => stream.response]);
    const lines = [line(1, "for it", { request_id: "r1", stream: "stderr" }), line(2)];
    stream.write(statusEvent("p1") + lines.map(frame).join(""));
    await settled();
    expect(watched.lines).toEqual(lines);
    expect(watched.lines[1]).not.toHaveProperty("request_id");
    expect(watched.lines[1]).not.toHaveProperty("stream");
  });

  test("hands over lines in order and goes on behind the last one when the stream breaks", async () => {
    const first = new Stream();
    const second = new Stream();
    watched = new Watched([() => first.response, () => second.response]);
    first.write(statusEvent("p1") + frame(line(1)) + frame(line(2)));
    await settled();
    first.cut();
    await settled();
    expect(watched.connection.state).toMatchObject({ phase: "reconnecting", attempt: 1 });
    await vi.advanceTimersByTimeAsync(2_000);
    second.write(frame(line(2)) + frame(line(3)));
    await settled();
    expect(watched.asked).toEqual([undefined, 2]);
    expect(watched.lines.map((one) => one.seq)).toEqual([1, 2, 3]);
    expect(watched.phases).toEqual(["connecting", "live", "reconnecting", "live"]);
  });

  test("honours the server's retry", async () => {
    const first = new Stream("retry: 500\n\n");
    watched = new Watched([() => first.response]);
    await settled();
    first.cut();
    await settled();
    const { state } = watched.connection;
    expect(state.phase === "reconnecting" && state.retryAt - Date.now()).toBe(500);
  });

  test("waits longer from attempt to attempt, and not at all when the browser is online again", async () => {
    const refuse = (): never => {
      throw new TypeError("failed to fetch");
    };
    watched = new Watched([refuse, refuse, refuse, refuse]);
    await settled();
    await vi.advanceTimersByTimeAsync(2_000);
    await settled();
    expect(watched.connection.state).toMatchObject({ phase: "reconnecting", attempt: 2 });
    globalThis.dispatchEvent(new Event("online"));
    await settled();
    expect(watched.asked).toHaveLength(3);
  });

  test("is over at the end, with the reason, and does not come back", async () => {
    const only = new Stream();
    watched = new Watched([() => only.response]);
    only.write(statusEvent("p1") + frame(line(1)) + endEvent("p1"));
    only.close();
    await settled();
    expect(watched.connection.state).toMatchObject({ phase: "ended", end: { reason: "stopped on request" } });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(watched.asked).toHaveLength(1);
  });

  test("comes back after a goodbye of the service itself, for the true end", async () => {
    const first = new Stream();
    const second = new Stream();
    watched = new Watched([() => first.response, () => second.response]);
    first.write(statusEvent("p1") + frame(line(1)) + endEvent("p1", "stopped: in other words", { cause: "shutdown" }));
    first.close();
    await settled();
    expect(watched.connection.state).toMatchObject({ phase: "reconnecting", isShutDown: true });
    await vi.advanceTimersByTimeAsync(2_000);
    second.write(frame(line(2)) + endEvent("p1", "failed: the service was restarted"));
    second.close();
    await settled();
    expect(watched.lines.map((one) => one.seq)).toEqual([1, 2]);
    expect(watched.connection.state).toMatchObject({ phase: "ended" });
  });

  test.each(["moved", "node_lost"])("goes on with another node after an end there (%s)", async (cause) => {
    const first = new Stream();
    const second = new Stream();
    watched = new Watched([() => first.response, () => second.response]);
    first.write(statusEvent("p1") + frame(line(1)) + endEvent("p1", "in other words", { cause, status: "failed" }));
    first.close();
    await settled();
    expect(watched.connection.state).toMatchObject({ phase: "reconnecting", isShutDown: false });
    await vi.advanceTimersByTimeAsync(2_000);
    second.write(frame(line(2)) + endEvent("p1"));
    second.close();
    await settled();
    expect(watched.asked).toEqual([undefined, 1]);
    expect(watched.lines.map((one) => one.seq)).toEqual([1, 2]);
    expect(watched.connection.state).toMatchObject({ phase: "ended" });
  });

  test("204 means that nothing is left to say", async () => {
    watched = new Watched([() => new Response(null, { status: 204 })], { previewId: "p1", lastSeq: 9 });
    await settled();
    expect(watched.asked).toEqual([9]);
    expect(watched.connection.state).toEqual({ phase: "ended", end: null });
  });

  test("gives up where trying again does not help", async () => {
    watched = new Watched([
      () => {
        throw new Problem("No.", { status: 403, code: "forbidden" });
      },
    ]);
    await settled();
    expect(watched.connection.state).toMatchObject({ phase: "failed", problem: { code: "forbidden" } });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(watched.asked).toHaveLength(1);
  });

  test("begins again when another preview speaks than the one it knows the number of", async () => {
    const wrong = new Stream();
    const right = new Stream();
    watched = new Watched([() => wrong.response, () => right.response], { previewId: "p1", lastSeq: 5 });
    wrong.write(statusEvent("p2") + frame(line(6)));
    await settled();
    right.write(statusEvent("p2") + frame(line(1)));
    await settled();
    expect(watched.asked).toEqual([5, undefined]);
    expect(watched.events[0]).toEqual({ kind: "reset", previewId: "p2" });
    expect(watched.lines.map((one) => one.seq)).toEqual([1]);
  });

  test("hands on a gap once, and goes on behind it", async () => {
    const first = new Stream();
    watched = new Watched([() => first.response]);
    const gap = event("gap", { first: 1, last: 7, reason: "deleted" }, 7);
    first.write(statusEvent("p1") + gap + gap + frame(line(8)));
    await settled();
    expect(watched.events.filter((one) => one.kind === "gap")).toHaveLength(1);
    expect(watched.lines.map((one) => one.seq)).toEqual([8]);
  });

  test("an expired token is renewed by coming back at once", async () => {
    const first = new Stream();
    watched = new Watched([() => first.response]);
    first.write(statusEvent("p1") + frame(line(1)) + event("expired", {}));
    first.close();
    await settled();
    await vi.advanceTimersByTimeAsync(0);
    expect(watched.asked).toEqual([undefined, 1]);
  });

  test("a connection that has gone silent is given up", async () => {
    const first = new Stream();
    watched = new Watched([() => first.response]);
    await settled();
    await vi.advanceTimersByTimeAsync(61_000);
    await settled();
    expect(watched.connection.state).toMatchObject({ phase: "reconnecting", attempt: 1 });
  });
});
