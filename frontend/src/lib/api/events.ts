import { readEventStream } from "../stream/sse";
import type { PreviewClient } from "./client";
import type { Generation, PreviewInstance } from "./types";

/** Who looks at a live preview, and how many comments its owner has not read. */
export interface PreviewPeople {
  generation_id: string;
  preview_id: string;
  viewers: readonly { id: string; name: string; role: string; colour: number }[];
  unread: number;
}

/** What changes of all that a person owns. */
export type UserEvent =
  | { kind: "start"; resumed: boolean; items: readonly PreviewPeople[] }
  | { kind: "preview"; preview: PreviewInstance }
  | { kind: "generation"; generation: Generation }
  | { kind: "removed"; generationId: string }
  | { kind: "viewers"; people: PreviewPeople };

/** Read the person's events until the stream ends; rejects when it breaks, or with `Problem`. */
export async function readUserEvents(
  client: PreviewClient,
  lastId: string | null,
  onEvent: (event: UserEvent, id: string | null) => void,
  signal: AbortSignal,
): Promise<void> {
  const headers: Record<string, string> = { Accept: "text/event-stream" };
  if (lastId !== null) headers["Last-Event-ID"] = lastId;
  const response = await client.send("/api/v1/events", { headers, signal });
  if (!response.body) return;
  await readEventStream(
    response.body,
    {
      onEvent: ({ event, id, data }) => {
        const found = userEventOf(event ?? "", JSON.parse(data));
        if (found) onEvent(found, id ?? null);
      },
    },
    signal,
  );
}

function userEventOf(name: string, data: unknown): UserEvent | null {
  switch (name) {
    case "start":
      return { kind: "start", ...(data as { resumed: boolean; items: PreviewPeople[] }) };
    case "preview":
      return { kind: "preview", preview: data as PreviewInstance };
    case "generation":
      return { kind: "generation", generation: data as Generation };
    case "generation_removed":
      return { kind: "removed", generationId: (data as { generation_id: string }).generation_id };
    case "viewers":
      return { kind: "viewers", people: data as PreviewPeople };
    default:
      return null;
  }
}
