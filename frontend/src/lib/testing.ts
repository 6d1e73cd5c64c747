/** What the tests of the library share: a service made of functions. */
import { PreviewClient } from "./api/client";
import type { EndEvent, LogLine, StatusEvent, ToldStep } from "./api/types";

export function line(seq: number, message = `line ${seq}`, more: Partial<LogLine> = {}): LogLine {
  return { seq, timestamp: "2026-11-20T12:00:00.000Z", level: "INFO", source: "subprocess", message, ...more };
}

export function frame(one: LogLine): string {
  const { seq, ...data } = one;
  return `id: ${seq}\ndata: ${JSON.stringify(data)}\n\n`;
}

export function event(kind: string, data: unknown, id?: number): string {
  return `${id === undefined ? "" : `id: ${id}\n`}event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
}

export function statusEvent(id: string, status = "running", more: Partial<StatusEvent> = {}): string {
  const timestamp = "2026-11-20T12:00:00.000Z";
  return event("status", { id, status, health: "healthy", reason: null, timestamp, ...more });
}

export function endEvent(id: string, reason = "stopped on request", more: Partial<EndEvent> = {}): string {
  return event("end", { id, status: "stopped", reason, exit_code: null, exit_signal: null, timestamp: "", ...more });
}

/** A step as the service tells it, done in 80 ms. */
export function toldStep(name: string, more: Partial<ToldStep> = {}): ToldStep {
  return {
    name,
    state: "done",
    started_at: "2026-11-20T12:00:00.000Z",
    elapsed_ms: 80,
    detail: null,
    reused: false,
    ...more,
  };
}

/** A stream that the test writes, and closes or breaks. */
export class Stream {
  readonly response: Response;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(first = "retry: 2000\n\n") {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
    });
    this.response = new Response(body, { headers: { "Content-Type": "text/event-stream" } });
    this.write(first);
  }

  write(text: string): void {
    this.#controller?.enqueue(new TextEncoder().encode(text));
  }

  close(): void {
    this.#controller?.close();
  }

  cut(): void {
    this.#controller?.error(new TypeError("network error"));
  }
}

export function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status, headers: { "Content-Type": "application/json" } });
}

type Answer = (request: {
  method: string;
  path: string;
  headers: Headers;
  body: string;
}) => Response | Promise<Response>;

/** A client whose service is a function. */
export function clientOf(answer: Answer): PreviewClient {
  return new PreviewClient({
    baseUrl: "http://service",
    fetch: (input, init) => {
      const address = new URL(input instanceof Request ? input.url : input);
      return Promise.resolve(
        answer({
          method: init?.method ?? "GET",
          path: address.pathname + address.search,
          headers: new Headers(init?.headers),
          body: typeof init?.body === "string" ? init.body : "",
        }),
      );
    },
  });
}
