import type { PreviewClient } from "./client";
import { of } from "./transport";

/** A value for `{{name}}` in the requests of a generation. */
export interface Variable {
  name: string;
  /** Null for a secret: the service never returns it. */
  value: string | null;
  secret: boolean;
}

export async function listVariables(
  client: PreviewClient,
  generationId: string,
  signal?: AbortSignal,
): Promise<Variable[]> {
  const path = of(generationId, "/preview/variables");
  return (await client.json<{ items: Variable[] }>(path, signal ? { signal } : {})).items;
}

export async function putVariable(
  client: PreviewClient,
  generationId: string,
  name: string,
  value: string,
  secret: boolean,
): Promise<void> {
  await client.send(addressOf(generationId, name), { method: "PUT", json: { value, secret } });
}

export async function deleteVariable(client: PreviewClient, generationId: string, name: string): Promise<void> {
  await client.send(addressOf(generationId, name), { method: "DELETE" });
}

function addressOf(generationId: string, name: string): string {
  return of(generationId, `/preview/variables/${encodeURIComponent(name)}`);
}
