import { createParser, type EventSourceMessage } from "eventsource-parser";

/** Work at most so long before the page gets a turn: well under a frame at 60 Hz. */
const SLICE_MS = 8;
/** Text given to the parser at a time; small, so that the time is looked at often enough. */
const PIECE_CHARS = 16 * 1024;

export interface SseHandlers {
  onEvent: (event: EventSourceMessage) => void;
  /** The server's `retry:` in milliseconds. */
  onRetry?: (milliseconds: number) => void;
  /** Bytes came, whatever they are: the connection is alive. */
  onAlive?: () => void;
  /** The events of one slice have been handed over. */
  onFlush?: () => void;
}

/**
 * Read an event stream to its end. A burst is parsed in slices between which the page stays responsive.
 * Rejects when the connection breaks, and with the signal's reason when that is given.
 */
export async function readEventStream(
  body: ReadableStream<Uint8Array>,
  handlers: SseHandlers,
  signal?: AbortSignal,
): Promise<void> {
  const parser = createParser({
    onEvent: handlers.onEvent,
    ...(handlers.onRetry && { onRetry: handlers.onRetry }),
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
      handlers.onAlive?.();
      const text = decoder.decode(value, { stream: true });
      for (let at = 0; at < text.length; at += PIECE_CHARS) {
        parser.feed(text.slice(at, at + PIECE_CHARS));
        if (performance.now() < sliceEnd) continue;
        handlers.onFlush?.();
        await nextTurn();
        sliceEnd = performance.now() + SLICE_MS;
      }
      handlers.onFlush?.();
    }
  } finally {
    handlers.onFlush?.();
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
