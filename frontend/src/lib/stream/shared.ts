import type { EndEvent, GapEvent, LogLine, StatusEvent } from "../api/types";
import { asProblem } from "../api/problem";
import { type ConnectionOptions, type ConnectionState, LogConnection, type StreamEvent } from "./connection";
import { readEventStream } from "./sse";

export interface Feed {
  start: () => void;
  stop: () => void;
  retryNow: () => void;
}

export interface SharedOptions extends ConnectionOptions {
  /** The same in all tabs that shall share; names the stream. */
  key: string;
  /** All lines behind `after` that there are now; then the answer ends. */
  openOnce: (after: number | undefined, signal: AbortSignal) => Promise<Response>;
}

/** What the tab that holds the connection tells the others. */
type Message =
  | { kind: "hello" }
  | { kind: "retry" }
  | { kind: "news"; state: ConnectionState; status: StatusEvent | null; previewId: string | null; lastSeq: number }
  | { kind: "event"; event: StreamEvent };

/** Whether this browser lets tabs agree on who holds the connection. */
export function canShare(): boolean {
  // Only in secure contexts (https, localhost) is there a lock manager, whatever the types say.
  const locks = navigator.locks as LockManager | null | undefined;
  return typeof BroadcastChannel !== "undefined" && typeof locks?.request === "function";
}

/**
 * One connection for all tabs of this browser: HTTP/1.1 allows six to one origin, and a stream holds one for good.
 *
 * The tab that gets the lock connects, and hands on what it reads; the others catch up with a short request of their
 * own, and take over when that tab goes. Numbers are dense, so what overlaps is left out and a hole is seen.
 */
export class SharedFeed implements Feed {
  readonly #options: SharedOptions;
  readonly #leaving = new AbortController();
  readonly #channel: BroadcastChannel;
  #connection: LogConnection | undefined;
  #catchingUp = false;
  #waiting: StreamEvent[] = [];
  #previewId: string | null;
  #lastSeq: number;
  #status: StatusEvent | null = null;
  #state: ConnectionState = { phase: "connecting" };

  constructor(options: SharedOptions) {
    this.#options = options;
    this.#previewId = options.resume?.previewId ?? null;
    this.#lastSeq = options.resume?.lastSeq ?? 0;
    this.#channel = new BroadcastChannel(options.key);
  }

  start(): void {
    this.#options.onState(this.#state);
    this.#channel.onmessage = (message: MessageEvent<Message>) => this.#hear(message.data);
    const hold = (): Promise<void> => {
      this.#lead();
      return new Promise((resolve) => this.#leaving.signal.addEventListener("abort", () => resolve()));
    };
    const { signal } = this.#leaving;
    void navigator.locks
      .request(this.#options.key, { ifAvailable: true }, async (lock) => {
        if (signal.aborted) return;
        if (lock) return hold();
        this.#say({ kind: "hello" });
        // In the queue behind the tab that has it; this one has its turn when that one goes.
        navigator.locks.request(this.#options.key, { signal }, hold).catch(() => undefined);
      })
      .catch(() => this.#lead());
  }

  stop(): void {
    this.#leaving.abort();
    this.#connection?.stop();
    this.#channel.close();
  }

  retryNow(): void {
    if (this.#connection) this.#connection.retryNow();
    else this.#say({ kind: "retry" });
  }

  #lead(): void {
    if (this.#leaving.signal.aborted) return;
    const resume =
      this.#previewId !== null && this.#lastSeq > 0
        ? { previewId: this.#previewId, lastSeq: this.#lastSeq }
        : undefined;
    this.#connection = new LogConnection({
      ...this.#options,
      resume,
      onEvent: (event) => {
        this.#take(event);
        this.#say({ kind: "event", event });
      },
      onState: (state) => {
        this.#state = state;
        this.#options.onState(state);
        this.#tellNews();
      },
    });
    this.#connection.start();
  }

  #hear(message: Message): void {
    switch (message.kind) {
      case "hello":
        if (this.#connection) this.#tellNews();
        break;
      case "retry":
        this.#connection?.retryNow();
        break;
      case "event":
        if (!this.#connection) this.#follow(message.event);
        break;
      case "news":
        if (!this.#connection) this.#hearNews(message);
        break;
    }
  }

  #hearNews(news: Extract<Message, { kind: "news" }>): void {
    if (news.previewId !== null && this.#previewId !== null && news.previewId !== this.#previewId) {
      this.#take({ kind: "reset", previewId: news.previewId });
    }
    this.#previewId = news.previewId ?? this.#previewId;
    this.#state = news.state;
    this.#options.onState(news.state);
    if (news.status) this.#take({ kind: "status", status: news.status });
    if (news.lastSeq > this.#lastSeq) void this.#catchUp();
    if (news.state.phase === "ended" && news.state.end) this.#take({ kind: "end", end: news.state.end });
  }

  #follow(event: StreamEvent): void {
    if (this.#catchingUp) {
      this.#waiting.push(event);
      return;
    }
    if (event.kind === "lines" && (event.lines[0]?.seq ?? 0) > this.#lastSeq + 1) {
      this.#waiting.push(event);
      void this.#catchUp();
      return;
    }
    this.#take(event);
  }

  /** Fetch what the other tab has and this one has not. */
  async #catchUp(): Promise<void> {
    if (this.#catchingUp) return;
    this.#catchingUp = true;
    const { signal } = this.#leaving;
    try {
      const after = this.#lastSeq > 0 ? this.#lastSeq : undefined;
      const response = await this.#options.openOnce(after, signal);
      if (response.body) await this.#readOnce(response.body);
    } catch (error) {
      if (!signal.aborted) this.#options.onState({ phase: "failed", problem: asProblem(error) });
    }
    this.#catchingUp = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) this.#take(event);
  }

  async #readOnce(body: ReadableStream<Uint8Array>): Promise<void> {
    let lines: LogLine[] = [];
    await readEventStream(body, {
      onEvent: ({ event, id, data }) => {
        if (event === undefined) lines.push({ seq: Number(id), ...(JSON.parse(data) as Omit<LogLine, "seq">) });
        else if (event === "gap") this.#take({ kind: "gap", gap: JSON.parse(data) as GapEvent });
        else if (event === "end") this.#take({ kind: "end", end: JSON.parse(data) as EndEvent });
      },
      onFlush: () => {
        if (lines.length > 0) this.#take({ kind: "lines", lines });
        lines = [];
      },
    });
  }

  #take(event: StreamEvent): void {
    if (event.kind === "lines") {
      const known = this.#lastSeq;
      const fresh = event.lines.filter((line) => line.seq > known);
      const last = fresh.at(-1);
      if (!last) return;
      this.#lastSeq = last.seq;
      this.#options.onEvent({ kind: "lines", lines: fresh });
      return;
    }
    if (event.kind === "gap") this.#lastSeq = Math.max(this.#lastSeq, event.gap.last);
    if (event.kind === "status") {
      this.#previewId = event.status.id;
      this.#status = event.status;
    }
    if (event.kind === "reset") {
      this.#previewId = event.previewId;
      this.#lastSeq = 0;
    }
    this.#options.onEvent(event);
  }

  #tellNews(): void {
    const state: ConnectionState = this.#state.phase === "failed" ? { phase: "connecting" } : this.#state;
    const { lastSeq } = { lastSeq: this.#lastSeq };
    this.#say({ kind: "news", state, status: this.#status, previewId: this.#previewId, lastSeq });
  }

  #say(message: Message): void {
    if (!this.#leaving.signal.aborted) this.#channel.postMessage(message);
  }
}
