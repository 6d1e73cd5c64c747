import type { PreviewClient } from "./client";
import { of } from "./transport";

/** A request with its expected answer. */
export interface Check {
  name: string;
  /** `GET /books?limit=1`. */
  request: string;
  headers: Record<string, string>;
  body: string | null;
  body_base64: string | null;
  status: number;
  expect: string[];
}

export interface CheckResult {
  name: string;
  request: string;
  is_ok: boolean;
  problems: string[];
  /** Why it was not run; null if it was. */
  skipped: string | null;
  status: number;
  elapsed_ms: number;
}

export interface ChecksRun {
  /** `12 ok, 1 broke since reload 7`. */
  summary: string;
  ok: number;
  broke: number;
  skipped: number;
  on: "preview" | "trial";
  at: string;
  reload: number;
  results: CheckResult[];
}

export interface Checks {
  checks: Check[];
  /** Paths that comparisons leave out. */
  ignore: string[];
  last_run: ChecksRun | null;
}

export function readChecks(client: PreviewClient, generationId: string, signal?: AbortSignal): Promise<Checks> {
  return client.json(of(generationId, "/preview/checks"), signal ? { signal } : {});
}

export function writeChecks(
  client: PreviewClient,
  generationId: string,
  checks: Pick<Checks, "checks" | "ignore">,
): Promise<Checks> {
  return client.json(of(generationId, "/preview/checks"), { method: "PUT", json: checks });
}

export function runChecks(client: PreviewClient, generationId: string): Promise<ChecksRun> {
  return client.json(of(generationId, "/preview/checks/run"), { method: "POST", json: {} });
}
