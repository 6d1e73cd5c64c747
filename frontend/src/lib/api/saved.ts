import type { PreviewClient } from "./client";
import { of } from "./transport";

/** A request that the service keeps for a generation, for all who may use its preview. */
export interface StoredRequest {
  id: string;
  name: string;
  method: string;
  path: string;
  /** What the client keeps beside them. */
  more: Record<string, unknown>;
  updated_at: string;
}

export async function listStored(
  client: PreviewClient,
  generationId: string,
  signal?: AbortSignal,
): Promise<StoredRequest[]> {
  const path = of(generationId, "/preview/saved");
  return (await client.json<{ items: StoredRequest[] }>(path, signal ? { signal } : {})).items;
}

export function storeRequest(
  client: PreviewClient,
  generationId: string,
  request: Pick<StoredRequest, "name" | "method" | "path" | "more">,
): Promise<StoredRequest> {
  return client.json(of(generationId, "/preview/saved"), { method: "POST", json: request });
}

export async function deleteStored(client: PreviewClient, generationId: string, id: string): Promise<void> {
  await client.send(of(generationId, `/preview/saved/${encodeURIComponent(id)}`), { method: "DELETE" });
}
