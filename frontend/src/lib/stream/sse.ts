import type { EventSourceMessage } from "eventsource-parser";

import { eventLots, type EventStreamOptions } from "../../client/sse";

export { nextTurn } from "../../client/sse";

export interface SseHandlers extends Omit<EventStreamOptions, "signal"> {
  onEvent: (event: EventSourceMessage) => void;
  /** The events of one slice have been handed over. */
  onFlush?: () => void;
}

/** Read an event stream to its end, as `eventLots` does. */
export async function readEventStream(
  body: ReadableStream<Uint8Array>,
  { onEvent, onFlush, ...options }: SseHandlers,
  signal?: AbortSignal,
): Promise<void> {
  for await (const lot of eventLots(body, { ...options, signal })) {
    lot.forEach(onEvent);
    onFlush?.();
  }
}
