import type { PreviewClient } from "./client";
import { Problem } from "./problem";
import type { ParsedRequest } from "./records";
import { of } from "./transport";

export type Verdict = "same" | "noisy" | "changed" | "broke";

/** One place at which two answers differ; values are JSON texts, null where there is none. */
export interface Difference {
  path: string;
  kind: "added" | "removed" | "changed";
  before: string | null;
  after: string | null;
}

/** An answer of a preview. */
export interface PreviewAnswer {
  /** 0 if there was none. */
  status: number;
  elapsed_ms: number;
  error: string | null;
  /** Its beginning. */
  body: string;
  size_bytes: number;
  lines: string[];
}

/** A request that was sent again, beside the recorded answer. */
export interface ReplayedOne {
  number: number | null;
  method: string;
  path: string;
  /** Why it was not sent; null if it was. */
  skipped: string | null;
  lacks_secrets: boolean;
  request_id: string | null;
  recorded: PreviewAnswer | null;
  answer: PreviewAnswer | null;
  verdict: Verdict | null;
  differences: Difference[];
  /** Paths that differ in ids, times and tokens only. */
  noise: string[];
}

export interface Replayed {
  on: "preview" | "trial";
  items: ReplayedOne[];
}

export function replayOne(client: PreviewClient, generationId: string, number: number): Promise<Replayed> {
  return client.json(of(generationId, `/preview/requests/${number}/replay`), { method: "POST", json: {} });
}

/** Of one replay. */
export const MOST_REPLAYED = 200;

/** `auto`: a copy of the preview, if a request may change data; `preview` sends those to the preview too. */
export type ReplayOn = "auto" | "trial" | "preview";

/** Send recorded requests again, in this order. */
export function replaySeveral(
  client: PreviewClient,
  generationId: string,
  numbers: readonly number[],
  on: ReplayOn,
): Promise<Replayed> {
  const json = { numbers, on, allow_changes: on === "preview" };
  return client.json(of(generationId, "/preview/replay"), { method: "POST", json });
}

interface Imported {
  numbers: number[];
  skipped: number;
  requests: ParsedRequest[];
}

/** Requests of a HAR file become records, unless recording is off: how many were read, became records, were left out. */
export async function importHar(
  client: PreviewClient,
  generationId: string,
  file: File,
): Promise<{ read: number; imported: number; skipped: number }> {
  const answer = await client.json<Imported>(of(generationId, "/preview/requests/import"), {
    method: "POST",
    text: await file.text(),
    headers: { "Content-Type": "application/json" },
  });
  return { read: answer.requests.length, imported: answer.numbers.length, skipped: answer.skipped };
}

export async function importCurl(client: PreviewClient, generationId: string, text: string): Promise<ParsedRequest> {
  const { requests } = await client.json<Imported>(of(generationId, "/preview/requests/import"), {
    method: "POST",
    text,
    headers: { "Content-Type": "text/plain" },
  });
  const [request] = requests;
  if (!request)
    throw new Problem(
      "No request was found. Paste a whole curl command: in the developer tools, choose “Copy as cURL”.",
    );
  return request;
}

export async function saveCheck(client: PreviewClient, generationId: string, number: number): Promise<void> {
  await client.send(of(generationId, `/preview/requests/${number}/check`), { method: "POST", json: {} });
}

// Compare

/** Result for one request, sent twice to the baseline and once to the candidate. */
export interface Compared {
  number: number | null;
  method: string;
  path: string;
  endpoint: string;
  skipped: string | null;
  verdict: Verdict | null;
  differences: Difference[];
  noise: string[];
  ignored: string[];
  is_cut: boolean;
  first: PreviewAnswer | null;
  second: PreviewAnswer | null;
  candidate: PreviewAnswer | null;
}

export interface Comparison {
  verdict: Verdict;
  endpoints: { endpoint: string; verdict: Verdict }[];
  items: Compared[];
  /** Why the candidate does not start; null if it does. */
  failure: string | null;
  last_lines: string[];
}

export interface CompareSide {
  generation: string;
  /** Of its files; the current ones, if this is not given. */
  version?: number;
  snapshot?: string;
  /** Of the project's settings; the active one, if this is not given. An empty text: none. */
  preset?: string;
}

/** Send the recorded requests of `a` to copies of both. */
export function compare(
  client: PreviewClient,
  generationId: string,
  sides: { a: CompareSide; b: CompareSide; filter?: string; ignore?: string[] },
): Promise<Comparison> {
  return client.json(of(generationId, "/preview/compare"), { method: "POST", json: sides });
}
