import type { PreviewClient } from "./client";
import type { ParsedRequest } from "./records";
import { of } from "./transport";

/** One place at which two answers differ. */
export interface Difference {
  /** `status`, a header, a JSON path, `body`, `time` or `log lines`. */
  path: string;
  before: string | null;
  after: string | null;
}

/** A replayed request, beside the recorded one. */
export interface ReplayedOne {
  number: number;
  method: string;
  target: string;
  /** The new record; null if it was not recorded. */
  replayed_as: number | null;
  status_before: number;
  status: number | null;
  error: string | null;
  elapsed_ms: number | null;
  differences: Difference[];
}

export interface Replayed {
  on: "preview" | "trial";
  items: ReplayedOne[];
  notes: string[];
}

export function replayOne(client: PreviewClient, generationId: string, number: number): Promise<Replayed> {
  return client.json(of(generationId, `/preview/requests/${number}/replay`), { method: "POST", json: {} });
}

export async function importHar(client: PreviewClient, generationId: string, file: File): Promise<number> {
  const answer = await client.json<{ imported: number }>(of(generationId, "/preview/requests/import"), {
    method: "POST",
    text: await file.text(),
    headers: { "Content-Type": "application/json" },
  });
  return answer.imported;
}

export function importCurl(client: PreviewClient, generationId: string, text: string): Promise<ParsedRequest> {
  return client.json(of(generationId, "/preview/requests/import"), {
    method: "POST",
    text,
    headers: { "Content-Type": "text/plain" },
  });
}

export async function saveCheck(client: PreviewClient, generationId: string, number: number): Promise<void> {
  await client.send(of(generationId, `/preview/requests/${number}/check`), { method: "POST", json: {} });
}

// Compare

export type Verdict = "same" | "noisy" | "changed" | "broke";

export interface ComparedEndpoint {
  method: string;
  path: string;
  verdict: Verdict;
  requests: number;
  differences: Difference[];
  /** Log lines of both sides, where they differ. */
  lines_before?: string[];
  lines_after?: string[];
  ms_before: number | null;
  ms_after: number | null;
}

export interface Comparison {
  endpoints: ComparedEndpoint[];
  notes: string[];
  elapsed_ms: number;
}

export interface CompareSide {
  generation?: string;
  revision?: number;
  snapshot?: string;
}

export function compare(
  client: PreviewClient,
  generationId: string,
  sides: { a: CompareSide; b: CompareSide; requests: { filter: string } },
  signal?: AbortSignal,
): Promise<Comparison> {
  return client.json(of(generationId, "/preview/compare"), { method: "POST", json: sides, ...(signal && { signal }) });
}
