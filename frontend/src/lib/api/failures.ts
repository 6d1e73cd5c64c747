import type { PreviewClient } from "./client";
import { of } from "./transport";

export interface FailureFrame {
  path: string;
  /** 0 if unknown. */
  line: number;
  function: string;
  code: string;
  /** Whether it is the project's own code. */
  is_own: boolean;
}

export interface FailureException {
  type: string;
  message: string;
  /** Innermost first. */
  frames: FailureFrame[];
  relation: "raised" | "cause" | "context" | "member" | "group";
}

export interface SourceLines {
  path: string;
  line: number;
  first_line: number;
  lines: string[];
}

export interface Occurrence {
  at: string;
  first_line: number;
  last_line: number;
  request_id: string | null;
  reload: number;
  is_startup: boolean;
  message: string;
}

/** All failures of one cause, as lists have them. */
export interface FailureGroup {
  id: string;
  language: "python" | "node" | "process";
  type: string;
  message: string;
  frame: FailureFrame | null;
  count: number;
  first: Occurrence;
  last: Occurrence;
}

export interface WholeFailure extends FailureGroup {
  exceptions: FailureException[];
  source: SourceLines | null;
  occurrences: Occurrence[];
  /** Whether only the last probe had it: its lines and requests are of a copy that is gone. */
  is_probe?: boolean;
}

export interface FailurePage {
  items: FailureGroup[];
  next: string | null;
  /** Failures without a record, as there are too many different ones. */
  further: number;
  /** Lines that were not searched, as too many came at once. */
  unread_lines: number;
}

/** The failures of the newest launch, or of an earlier one. */
export function listFailures(
  client: PreviewClient,
  generationId: string,
  signal?: AbortSignal,
  launch?: string,
): Promise<FailurePage> {
  const query = new URLSearchParams({ limit: "100", ...(launch && { preview_id: launch }) });
  return client.json(of(generationId, `/preview/failures?${query.toString()}`), signal ? { signal } : {});
}

export function readFailure(
  client: PreviewClient,
  generationId: string,
  id: string,
  signal?: AbortSignal,
): Promise<WholeFailure> {
  return client.json(of(generationId, `/preview/failures/${encodeURIComponent(id)}`), signal ? { signal } : {});
}

/** A bounded text for an agent: source, request and lines. */
export async function failureText(client: PreviewClient, generationId: string, id: string): Promise<string> {
  const path = of(generationId, `/preview/failures/${encodeURIComponent(id)}?format=text`);
  return (await client.send(path, { headers: { Accept: "text/plain" } })).text();
}

/** Why a preview did not start or ended, and what to do. */
export interface Diagnosis {
  summary: string;
  /** One word; null if nothing failed. */
  reason: string | null;
  /** What to do, the most telling first. */
  advice: string[];
  exit: { code: number | null; signal: number | null; words: string } | null;
}

export function readDiagnosis(client: PreviewClient, generationId: string, signal?: AbortSignal): Promise<Diagnosis> {
  return client.json(of(generationId, "/preview/diagnosis"), signal ? { signal } : {});
}
