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
  /** Null if there was no response. */
  status: number | null;
  error: string | null;
  timing: RecordTiming;
  sent_bytes: number;
  received_bytes: number;
  /** How often a new process had taken over. */
  reload: number;
  first_line: number;
  last_line: number;
  /** False if the application itself has reported it. */
  is_verified: boolean;
  pinned: boolean;
  /** Id of the failure that the request has caused; null as long as that is not known. */
  failure: string | null;
}

/** Headers and body; secrets are replaced. */
export interface RecordedMessage {
  headers: readonly (readonly [string, string])[];
  /** The first bytes of the content. */
  body: string;
  body_encoding: "utf-8" | "base64";
  /** Of the whole content. */
  size_bytes: number;
  is_cut: boolean;
  /** `cut at 65536 of 120000`. */
  note: string | null;
}

export interface WholeRecord extends RecordedRequest {
  /** Null where only facts were recorded. */
  request: RecordedMessage | null;
  response: RecordedMessage | null;
}

export interface RecordPage {
  items: RecordedRequest[];
  /** Where the next page begins; null at the end. */
  next: number | null;
  /** Records that were lost as the service was too busy. */
  lost: number;
  /** Records without their headers and bodies, for the same reason. */
  lost_bodies: number;
  capture: Capture;
}

export type Capture = "off" | "meta" | "full";
export type RecordText = "curl" | "httpx" | "fetch" | "pytest";

/** A request that can be sent, read from a curl command. */
export interface ParsedRequest {
  method: string;
  /** Path and query. */
  path: string;
  headers: Record<string, string>;
  body: string | null;
}

export const PAGE_RECORDS = 100;

function at(generationId: string, rest = ""): string {
  return of(generationId, `/preview/requests${rest}`);
}

export function listRecords(
  client: PreviewClient,
  generationId: string,
  where: { filter: string; before?: number | null; launch?: string },
  signal?: AbortSignal,
): Promise<RecordPage> {
  const query = new URLSearchParams({ limit: String(PAGE_RECORDS) });
  if (where.launch) query.set("preview_id", where.launch);
  if (where.filter) query.set("filter", where.filter);
  if (where.before != null) query.set("before", String(where.before));
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
  const address = at(generationId, `/${number}?format=${format}`);
  const response = await client.send(address);
  return response.text();
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

export function setCapture(
  client: PreviewClient,
  generationId: string,
  capture: Capture,
): Promise<{ capture: Capture }> {
  return client.json(of(generationId, "/preview/capture"), { method: "PUT", json: { capture } });
}

/** The number of the recorded request with this id; null if there is none any more. */
export async function findRecord(
  client: PreviewClient,
  generationId: string,
  requestId: string,
): Promise<number | null> {
  const query = new URLSearchParams({ limit: "1", filter: `req:${requestId}` });
  const page = await client.json<RecordPage>(at(generationId, `?${query.toString()}`));
  return page.items[0]?.number ?? null;
}
