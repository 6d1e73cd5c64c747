import type { PreviewClient } from "./client";
import { of } from "./transport";

export type Origin = "browser" | "socket" | "call" | "replay" | "probe" | "check" | "direct" | "import";
export type Sender = "owner" | "viewer" | "agent" | "service" | "unknown";

/** Milliseconds from a request's arrival; null if that moment never came. */
export interface RecordTiming {
  queued_ms: number | null;
  connected_ms: number | null;
  first_byte_ms: number | null;
  ended_ms: number;
}

/** A recorded request, as lists have it. */
export interface RecordedRequest {
  /** Its id within the preview: 1, 2, 3, … */
  number: number;
  preview_id: string;
  request_id: string;
  started_at: string;
  origin: Origin;
  who: Sender;
  method: string;
  /** Path and query. */
  target: string;
  /** 0 if there was no response. */
  status: number;
  error: string | null;
  timing: RecordTiming;
  sent_bytes: number;
  received_bytes: number;
  /** How often a new process had taken over. */
  reload: number;
  first_line: number;
  last_line: number;
  pinned: boolean;
}

/** Headers and body; secrets are replaced. */
export interface RecordedMessage {
  headers: readonly (readonly [string, string])[];
  body: string;
  encoding?: "base64" | null;
  /** Bytes that were kept, and of the whole body. */
  kept_bytes: number;
  size_bytes: number;
}

export interface WholeRecord extends RecordedRequest {
  /** Null where only facts were recorded. */
  request: RecordedMessage | null;
  response: RecordedMessage | null;
}

export interface RecordPage {
  items: RecordedRequest[];
  /** Where the next page begins; null at the end. */
  next: string | null;
  /** Records that were lost as the service was too busy. */
  lost: number;
}

export type Capture = "off" | "meta" | "full";
export type RecordText = "curl" | "httpx" | "fetch" | "pytest";

/** A request that can be sent, read from a curl command. */
export interface ParsedRequest {
  method: string;
  /** Path and query. */
  target: string;
  headers: readonly (readonly [string, string])[];
  body: string;
}

export const PAGE_RECORDS = 100;

function at(generationId: string, rest = ""): string {
  return of(generationId, `/preview/requests${rest}`);
}

export function listRecords(
  client: PreviewClient,
  generationId: string,
  where: { filter: string; before?: string | null },
  signal?: AbortSignal,
): Promise<RecordPage> {
  const query = new URLSearchParams({ limit: String(PAGE_RECORDS) });
  if (where.filter) query.set("filter", where.filter);
  if (where.before) query.set("before", where.before);
  return client.json(at(generationId, `?${query.toString()}`), signal ? { signal } : {});
}

/** Records as they are stored, as an event stream. */
export function openRecords(
  client: PreviewClient,
  generationId: string,
  where: { filter: string; after: number },
  signal: AbortSignal,
): Promise<Response> {
  const query = new URLSearchParams({ after: String(where.after) });
  if (where.filter) query.set("filter", where.filter);
  return client.send(at(generationId, `?${query.toString()}`), { headers: { Accept: "text/event-stream" }, signal });
}

export function readRecord(
  client: PreviewClient,
  generationId: string,
  number: number,
  signal?: AbortSignal,
): Promise<WholeRecord> {
  return client.json(at(generationId, `/${number}`), signal ? { signal } : {});
}

/** The record as code, or as a command. */
export async function recordText(
  client: PreviewClient,
  generationId: string,
  number: number,
  format: RecordText,
): Promise<string> {
  return (
    await client.send(at(generationId, `/${number}?format=${format}`), { headers: { Accept: "text/plain" } })
  ).text();
}

export async function setPinned(
  client: PreviewClient,
  generationId: string,
  number: number,
  isPinned: boolean,
): Promise<void> {
  await client.send(at(generationId, `/${number}/pin`), { method: isPinned ? "PUT" : "DELETE" });
}

export async function exportHar(client: PreviewClient, generationId: string, filter: string): Promise<Blob> {
  const query = new URLSearchParams({ format: "har", ...(filter && { filter }) });
  return (await client.send(at(generationId, `?${query.toString()}`))).blob();
}

export function readCapture(client: PreviewClient, generationId: string): Promise<{ capture: Capture }> {
  return client.json(of(generationId, "/preview/capture"));
}

export function setCapture(
  client: PreviewClient,
  generationId: string,
  capture: Capture,
): Promise<{ capture: Capture }> {
  return client.json(of(generationId, "/preview/capture"), { method: "PUT", json: { capture } });
}
