import type { EventSourceMessage } from "eventsource-parser";

import type { EndEvent, GapEvent, LogLine, StatusEvent } from "../api/types";
import { asProblem, Problem } from "../api/problem";
import { backoffMs } from "./backoff";
import { readEventStream } from "./sse";

/** What a person sees about the connection. */
export type ConnectionState =
  | { phase: "idle" }
  | { phase: "connecting" }
  | { phase: "live" }
  | { phase: "reconnecting"; retryAt: number; attempt: number; reason: string; isShutDown: boolean }
  | { phase: "ended"; end: EndEvent | null }
  | { phase: "failed"; problem: Problem };

/** One thing that the stream said, in order. */
export type StreamEvent =
  | { kind: "lines"; lines: LogLine[] }
  | { kind: "gap"; gap: GapEvent }
  | { kind: "status"; status: StatusEvent }
  | { kind: "end"; end: EndEvent }
  /** Another preview than before speaks: numbers begin again. */
  | { kind: "reset"; previewId: string };

export interface ConnectionOptions {
  /** Open the stream behind line `after`, or at its beginning. 200 with a body, or 204; else it rejects. */
  open: (after: number | undefined, signal: AbortSignal) => Promise<Response>;
  onEvent: (event: StreamEvent) => void;
  onState: (state: ConnectionState) => void;
  /** Resume: the preview and its last line that are known already. */
  resume?: { previewId: string; lastSeq: number } | undefined;
  random?: () => number;
}

/** The service sends a comment each 15 s (25 s at most behind slow proxies); two and a bit missed means it is gone. */
const SILENCE_MS = 60_000;
const DEFAULT_RETRY_MS = 2_000;

/**
 * The log stream of one generation's preview over any number of connections: each line once and in order, or a gap.
 *
 * It begins with `start()` and ends with `stop()`, with the preview's end, or with an error that trying again does not
 * heal.
 */
export class LogConnection {
  readonly #options: ConnectionOptions;
  #state: ConnectionState = { phase: "idle" };
  #abort: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #retryMs = DEFAULT_RETRY_MS;
  #previewId: string | undefined;
  #lastSeq: number | undefined;
  #pending: LogLine[] = [];
  #end: EndEvent | undefined;
  #running = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#previewId = options.resume?.previewId;
    this.#lastSeq = options.resume?.lastSeq;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    globalThis.addEventListener("online", this.retryNow);
    document.addEventListener("visibilitychange", this.#onVisible);
    void this.#connect();
  }

  stop(): void {
    this.#running = false;
    globalThis.removeEventListener("online", this.retryNow);
    document.removeEventListener("visibilitychange", this.#onVisible);
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    this.#abort?.abort();
  }

  /** Do not wait for the next attempt: it begins now. */
  readonly retryNow = (): void => {
    if (!this.#running || this.#state.phase === "connecting" || this.#state.phase === "live") return;
    if (this.#state.phase === "ended") return;
    clearTimeout(this.#timer);
    void this.#connect();
  };

  readonly #onVisible = (): void => {
    if (document.visibilityState === "visible" && this.#state.phase === "reconnecting") this.retryNow();
  };

  async #connect(): Promise<void> {
    const abort = (this.#abort = new AbortController());
    if (this.#attempt === 0) this.#set({ phase: "connecting" });
    try {
      const response = await this.#options.open(this.#lastSeq, abort.signal);
      if (response.status === 204 || !response.body) {
        this.#finish(this.#end ?? null);
        return;
      }
      this.#set({ phase: "live" });
      this.#alive();
      const handlers = {
        onAlive: () => this.#alive(),
        onRetry: (milliseconds: number) => (this.#retryMs = milliseconds),
        onEvent: (one: EventSourceMessage) => {
          if (!abort.signal.aborted) this.#take(one.event, one.id, one.data);
        },
        onFlush: () => this.#flush(),
      };
      await readEventStream(response.body, handlers, abort.signal);
      if (this.#abort === abort && !abort.signal.aborted) this.#closed();
    } catch (error) {
      if (this.#abort !== abort || !this.#running) return;
      this.#broken(abort.signal.reason instanceof Problem ? abort.signal.reason : asProblem(error));
    } finally {
      if (this.#abort === abort) clearTimeout(this.#watchdog);
    }
  }

  /** The stream closed in order: at the preview's end, or because the service goes down or the token is over. */
  #closed(): void {
    const end = this.#end;
    if (end && !mayGoOn(end)) this.#finish(end);
    else if (end) this.#retry(isShutDown(end) ? "The service was shut down." : "The preview moves to another node.");
    else this.#retry("The service closed the connection.", this.#attempt === 0);
  }

  #broken(problem: Problem): void {
    if (!this.#running) return;
    if (problem.isTemporary) this.#retry(problem.status === 0 ? "The connection was lost." : problem.message);
    else this.#set({ phase: "failed", problem });
  }

  #retry(reason: string, atOnce = false): void {
    if (!this.#running) return;
    this.#attempt += 1;
    // It has said goodbye and has not been heard of since.
    const isDown = this.#end !== undefined && isShutDown(this.#end);
    const wait = atOnce ? 0 : backoffMs(this.#attempt, this.#retryMs, this.#options.random);
    this.#set({
      phase: "reconnecting",
      retryAt: Date.now() + wait,
      attempt: this.#attempt,
      reason,
      isShutDown: isDown,
    });
    this.#timer = setTimeout(() => void this.#connect(), wait);
  }

  #finish(end: EndEvent | null): void {
    this.#set({ phase: "ended", end });
  }

  /** Something came: the next silence is counted from now. */
  #alive(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      this.#abort?.abort(new Problem("The connection timed out.", { code: "silent" }));
    }, SILENCE_MS);
  }

  #take(kind: string | undefined, id: string | undefined, data: string): void {
    let said: unknown;
    try {
      said = JSON.parse(data);
    } catch {
      return; // not ours: a proxy in between has something to say
    }
    switch (kind ?? "message") {
      case "message":
        this.#takeLine(Number(id), said as Omit<LogLine, "seq">);
        break;
      case "gap":
        this.#takeGap(said as GapEvent);
        break;
      case "status":
        this.#takeStatus(said as StatusEvent);
        break;
      case "end":
        this.#flush();
        if (this.#isOther((said as EndEvent).id)) return;
        this.#end = said as EndEvent;
        this.#previewId = this.#end.id;
        if (!mayGoOn(this.#end)) this.#options.onEvent({ kind: "end", end: this.#end });
        break;
      case "expired":
        // The next connection comes with the token of then; where there is none, it shows that.
        break;
    }
  }

  #takeLine(seq: number, line: Omit<LogLine, "seq">): void {
    if (!Number.isSafeInteger(seq) || (this.#lastSeq !== undefined && seq <= this.#lastSeq)) return;
    this.#lastSeq = seq;
    this.#attempt = 0;
    const { timestamp, level, source, message, stream, request_id } = line;
    const known = { ...(stream === "stderr" && { stream }), ...(request_id !== undefined && { request_id }) };
    this.#pending.push({ seq, timestamp, level, source, message, ...known });
  }

  #takeGap(gap: GapEvent): void {
    this.#flush();
    if (this.#lastSeq !== undefined && gap.last <= this.#lastSeq) return;
    this.#lastSeq = gap.last;
    this.#options.onEvent({ kind: "gap", gap });
  }

  #takeStatus(status: StatusEvent): void {
    this.#flush();
    this.#attempt = 0;
    this.#end = undefined;
    if (this.#isOther(status.id)) return;
    this.#previewId = status.id;
    this.#options.onEvent({ kind: "status", status });
  }

  /** Whether another preview than before speaks, and then all begins again: our number was the other one's. */
  #isOther(previewId: string): boolean {
    if (this.#previewId === undefined || this.#previewId === previewId) return false;
    const resumed = this.#lastSeq !== undefined;
    this.#previewId = previewId;
    this.#lastSeq = undefined;
    this.#options.onEvent({ kind: "reset", previewId });
    if (!resumed) return false;
    this.#abort?.abort();
    void this.#connect();
    return true;
  }

  #flush(): void {
    if (this.#pending.length === 0) return;
    const lines = this.#pending;
    this.#pending = [];
    this.#options.onEvent({ kind: "lines", lines });
  }

  #set(state: ConnectionState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}

/** Whether the service goes down, or another node goes on with the preview; what follows comes from there. */
function mayGoOn(end: EndEvent): boolean {
  return isShutDown(end) || end.cause === "moved" || end.cause === "node_lost";
}

function isShutDown(end: EndEvent): boolean {
  return end.cause === "shutdown";
}
