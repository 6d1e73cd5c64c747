import { createParser, type EventSourceMessage, type ParseError } from "eventsource-parser";

/** Work at most so long before the page gets a turn: well under a frame at 60 Hz. */
const SLICE_MS = 8;
/** Text given to the parser at a time; small, so that the time is looked at often enough. */
const PIECE_CHARS = 16 * 1024;

export interface EventStreamOptions {
  signal?: AbortSignal | undefined;
  /** The server's `retry:` in milliseconds. */
  onRetry?: ((milliseconds: number) => void) | undefined;
  /** Bytes came, whatever they are: the connection is alive. */
  onAlive?: (() => void) | undefined;
  /** Most characters of one event; a longer one throws a `ParseError`. */
  maxEventChars?: number | undefined;
}

/**
 * Read an event stream to its end, in lots of events that came together. A burst is parsed in slices between which a
 * page stays responsive. Throws when the connection breaks, and the signal's reason when that is given.
 */
export async function* eventLots(
  body: ReadableStream<Uint8Array>,
  { signal, onRetry, onAlive, maxEventChars }: EventStreamOptions = {},
): AsyncGenerator<EventSourceMessage[], void, undefined> {
  let lot: EventSourceMessage[] = [];
  let tooLong: ParseError | undefined;
  const parser = createParser({
    onEvent: (event) => lot.push(event),
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") tooLong = error;
    },
    ...(onRetry && { onRetry }),
    ...(maxEventChars !== undefined && { maxBufferSize: maxEventChars }),
  });
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const leave = (): void => void reader.cancel().catch(() => undefined);
  signal?.addEventListener("abort", leave);
  let sliceEnd = performance.now() + SLICE_MS;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      signal?.throwIfAborted();
      if (done) return;
      onAlive?.();
      const text = decoder.decode(value, { stream: true });
      for (let at = 0; at < text.length; at += PIECE_CHARS) {
        parser.feed(text.slice(at, at + PIECE_CHARS));
        if (tooLong) throw tooLong;
        if (performance.now() < sliceEnd) continue;
        if (lot.length > 0) yield lot;
        lot = [];
        await nextTurn();
        sliceEnd = performance.now() + SLICE_MS;
      }
      if (lot.length > 0) yield lot;
      lot = [];
    }
  } finally {
    signal?.removeEventListener("abort", leave);
    // The caller may have left early: the connection is of no use to anybody else.
    leave();
  }
}

/** A turn of the event loop, so that input and painting go first. Not throttled in hidden tabs, as timers are. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(null);
  });
}
