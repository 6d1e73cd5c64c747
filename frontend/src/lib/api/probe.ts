import type { PreviewClient } from "./client";
import { of } from "./transport";

/** Counts of one endpoint. */
export interface ProbeRow {
  method: string;
  path: string;
  is_documented: boolean;
  requests: number;
  ok: number;
  client_errors: number;
  server_errors: number;
  no_answers: number;
  /** Kinds of differences from the OpenAPI document. */
  mismatches: number;
  is_reached: boolean;
}

export interface ProbeStep {
  number: number;
  method: string;
  target: string;
  body: string | null;
  status: number | null;
  curl: string;
}

/** A mistake, with the smallest requests that show it. */
export interface ProbeFinding {
  number: number;
  kind: string;
  is_doubtful: boolean;
  method: string;
  path: string;
  sentence: string;
  steps: ProbeStep[];
  answer: string;
  error: string | null;
  frame: string | null;
  /** Id of its failure; null without one, and while the probe runs. */
  failure: string | null;
  lines: { seq: number; level: string; message: string }[];
}

export interface Probe {
  id: string;
  state: "starting" | "running" | "done" | "failed";
  phase: string;
  started_at: string;
  finished_at: string | null;
  seconds: number;
  elapsed_s: number;
  requests: number;
  engine: "own" | "schemathesis";
  notes: string[];
  error: string | null;
  rows: ProbeRow[];
  findings: ProbeFinding[];
}

export function startProbe(client: PreviewClient, generationId: string, seconds: number): Promise<Probe> {
  return client.json(of(generationId, "/preview/probe"), { method: "POST", json: { seconds } });
}

export function readProbe(client: PreviewClient, generationId: string, signal?: AbortSignal): Promise<Probe> {
  return client.json(of(generationId, "/preview/probe"), signal ? { signal } : {});
}

/** The running probe as Server-Sent Events: `probe` after each change, then `end`. */
export function openProbe(client: PreviewClient, generationId: string, signal: AbortSignal): Promise<Response> {
  return client.send(of(generationId, "/preview/probe"), { headers: { Accept: "text/event-stream" }, signal });
}

export async function stopProbe(client: PreviewClient, generationId: string): Promise<void> {
  await client.send(of(generationId, "/preview/probe"), { method: "DELETE" });
}
