import type { PreviewClient } from "./client";
import { of } from "./transport";

export interface CheckResult {
  name: string;
  method: string;
  target: string;
  state: "ok" | "broke" | "skipped" | "unknown";
  /** What differs, or why it was skipped. */
  reason: string | null;
}

export interface Checks {
  /** Text of `preview.checks.toml`; empty without one. */
  items: CheckResult[];
  /** `12 ok, 1 broke since reload 7`. */
  summary: string | null;
  ran_at: string | null;
}

export function readChecks(client: PreviewClient, generationId: string, signal?: AbortSignal): Promise<Checks> {
  return client.json(of(generationId, "/preview/checks"), signal ? { signal } : {});
}

export function runChecks(client: PreviewClient, generationId: string): Promise<Checks> {
  return client.json(of(generationId, "/preview/checks/run"), { method: "POST", json: {} });
}
