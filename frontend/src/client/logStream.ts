import { type EventSourceMessage, ParseError } from "eventsource-parser";

import { InvalidAnswer, PreviewProblem, Unreachable } from "./errors.js";
import { type Call, type Http, pause } from "./http.js";
import type { EndEvent, GapEvent, LineEvent, StatusEvent } from "./schema.js";
import { eventLots } from "./sse.js";

/** An event that a log yields: a line, a change of the preview, lines that are gone, or the end, which is the last. */
export type LogEvent = LineEvent | StatusEvent | GapEvent | EndEvent;

export type Level = LineEvent["level"];

export interface LogOptions {
  /** Only lines after this number. */
  after?: number | undefined;
  /** Begin with so many of the newest lines. */
  tail?: number | undefined;
  /** Only lines at least this severe. */
  level?: Level | undefined;
  /** Terms of the filter language. */
  filter?: string | undefined;
  /** Only lines of this request. */
  requestId?: string | undefined;
  /** False: end with the newest line. */
  follow?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds before each attempt to connect again; about a minute in all, enough for a restart of the service. */
  resumePausesMs?: readonly number[] | undefined;
}

const RESUME_PAUSES_MS = [200, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
/** The service sends a comment each 15 s (25 s at most behind slow proxies). */
const SILENCE_MS = 60_000;
const MAX_EVENT_CHARS = 1024 * 1024;
const NUMBER = /^[0-9]{1,15}$/;
const PASSING = new Set([502, 503, 504]);
const TOO_MANY = 429;

/**
 * The events of a log, to its end: each line once and in order, or a gap. A broken connection is opened again after the
 * last line.
 */
export async function* followLog(
  http: Http,
  path: string,
  previewId: string | undefined,
  options: LogOptions,
): AsyncGenerator<LogEvent, void, undefined> {
  const reader = new LogReader(path, previewId, options);
  const pauses = options.resumePausesMs ?? RESUME_PAUSES_MS;
  let failures = 0;
  while (!reader.isOver) {
    try {
      for await (const event of reader.connection(http)) {
        failures = 0;
        yield event;
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      const wait = pauses[failures];
      if (wait === undefined || !reader.mayReopenAfter(error)) throw error;
      failures += 1;
      await pause(wait, options.signal);
    }
  }
}

/** State of a reader over its connections. */
class LogReader {
  isOver = false;
  readonly #path: string;
  readonly #options: LogOptions;
  readonly #query: NonNullable<Call["query"]>;
  #lastId: string | undefined;
  #lastSeq = 0;
  #wasOpen = false;
  #wantsEnd = false;

  constructor(path: string, previewId: string | undefined, options: LogOptions) {
    const { after, tail, level, filter, requestId, follow } = options;
    this.#path = path;
    this.#options = options;
    this.#query = { after, tail, level, filter, request_id: requestId, preview_id: previewId };
    if (follow === false) this.#query.follow = false;
  }

  /** The events of one connection. It returns if another must follow or the log is over, and throws if it breaks. */
  async *connection(http: Http): AsyncGenerator<LogEvent, void, undefined> {
    const { signal } = this.#options;
    const silence = new AbortController();
    const stop = (): void => silence.abort(signal?.reason);
    signal?.throwIfAborted();
    signal?.addEventListener("abort", stop);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onAlive = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(new Unreachable("The log stream timed out.")), SILENCE_MS);
    };
    onAlive();
    try {
      const response = await http.open(this.#call(), silence.signal);
      this.#wasOpen = true;
      if (response.status === 204 || !response.body) {
        this.#nothingFollows();
        return;
      }
      const reading = { signal: silence.signal, onAlive, maxEventChars: MAX_EVENT_CHARS };
      for await (const lot of eventLots(response.body, reading)) {
        for (const message of lot) {
          if (message.event === "expired") return;
          const event = this.#take(message);
          if (event) yield event;
          if (event?.type === "end") return;
        }
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (silence.signal.aborted) throw silence.signal.reason;
      if (error instanceof ParseError) throw new InvalidAnswer("The log stream has an event that is too long.");
      throw http.unreachable(error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
    if (this.#options.follow !== false) throw new Unreachable("The log stream ended before the preview did.");
    this.isOver = true;
  }

  /** Whether a new connection may help after this error. */
  mayReopenAfter(error: unknown): boolean {
    // The service may count the broken stream among the user's for a moment.
    if (error instanceof PreviewProblem)
      return PASSING.has(error.status) || (error.status === TOO_MANY && this.#wasOpen);
    return error instanceof Unreachable;
  }

  #call(): Call {
    const resumes = this.#lastId !== undefined;
    return {
      path: this.#path,
      query: { ...this.#query, ...(resumes && { tail: undefined }) },
      headers: { Accept: "text/event-stream", ...(this.#lastId !== undefined && { "Last-Event-ID": this.#lastId }) },
      signal: this.#options.signal,
    };
  }

  /** 204: the preview has ended, and no line follows; the end alone is left. */
  #nothingFollows(): void {
    this.isOver = this.#wantsEnd;
    this.#wantsEnd = true;
    this.#lastId = undefined;
    this.#query.after = undefined;
    this.#query.tail = 0;
  }

  #take({ event: name = "message", id, data }: EventSourceMessage): LogEvent | null {
    if (id !== undefined && NUMBER.test(id)) this.#lastId = id;
    const said = objectOf(data);
    switch (name) {
      case "message":
        return this.#takeLine(id ?? "", said);
      case "gap":
        return { ...said, type: "gap" } as GapEvent;
      case "status":
        // A later launch has a log of its own: its numbers must not continue this one's.
        if (typeof said.id === "string") this.#query.preview_id ??= said.id;
        return { ...said, type: "status" } as StatusEvent;
      case "end":
        this.isOver = true;
        return { ...said, type: "end" } as EndEvent;
      default:
        // Of a later version, or `progress`, which only moves the number.
        return null;
    }
  }

  #takeLine(id: string, said: Record<string, unknown>): LineEvent | null {
    if (!NUMBER.test(id)) throw new InvalidAnswer("The log stream has a line without a number.");
    const seq = Number(id);
    if (seq <= this.#lastSeq) return null;
    this.#lastSeq = seq;
    return { ...said, seq, type: "line" } as LineEvent;
  }
}

function objectOf(data: string): Record<string, unknown> {
  try {
    const said: unknown = JSON.parse(data);
    if (typeof said === "object" && said !== null && !Array.isArray(said)) return said as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new InvalidAnswer("The log stream has an event that is not a JSON object.");
}
