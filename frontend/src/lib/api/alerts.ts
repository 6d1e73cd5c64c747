import type { PreviewClient } from "./client";
import { of } from "./transport";
import type { LogLine } from "./types";

export type Subject = "lines" | "requests";
export type PreviewEvent = "ended" | "failed" | "exited" | "crashed" | "unhealthy" | "restarted";

export type Condition =
  | { kind: "matches"; filter: string; on: Subject; count: number; within_s: number }
  | { kind: "absent"; filter: string; on: Subject; for_s: number }
  | { kind: "event"; event: PreviewEvent; exit_code: number | null }
  | { kind: "error_rate"; share: number; within_s: number; at_least: number }
  | { kind: "memory"; share: number };

export interface AlertScope {
  generation_id: string | null;
  project_id: string | null;
}

export interface AlertWebhook {
  url: string;
  has_secret: boolean;
  body: unknown;
}

export interface AlertRule {
  id: string;
  name: string;
  condition: Condition;
  /** The condition in words. */
  summary: string;
  scope: AlertScope;
  cooldown_s: number;
  enabled: boolean;
  /** `paused`: it used too much time and resumes after a minute. With a `problem`: it resumes when the rule is changed. */
  state: "active" | "off" | "paused";
  /** The reason why the rule no longer works. */
  problem?: string | null;
  webhook: AlertWebhook | null;
}

/** A rule as it is sent. A webhook without `secret` keeps the stored one. */
export interface AlertDraft {
  name: string;
  condition: Condition;
  scope: { generation_id?: string; project_id?: string };
  cooldown_s: number;
  enabled: boolean;
  webhook: { url: string; secret?: string | null; body?: unknown } | null;
}

export interface AlertFiring {
  id: string;
  alert_id: string;
  alert: string;
  generation_id: string;
  preview_id: string;
  fired_at: string;
  summary: string;
  matches: number;
  line: string | null;
  first_line: number | null;
  last_line: number | null;
  request: number | null;
  suppressed: number;
  test: boolean;
  delivery: {
    state: "none" | "pending" | "delivered" | "failed";
    attempts: number;
    status: number | null;
    problem: string | null;
  };
}

export interface FiringPage {
  items: AlertFiring[];
  next: string | null;
}

/** What a rule would have done with the stored lines of a preview. */
export interface AlertTrial {
  preview_id: string;
  examined: number;
  first_line: number;
  last_line: number;
  matched: number;
  samples: LogLine[];
  firings: { at: string; summary: string; line: number | null; text: string | null }[];
  is_cut: boolean;
}

const PAGE = "limit=50";

export async function listAlerts(client: PreviewClient, signal?: AbortSignal): Promise<AlertRule[]> {
  return (await client.json<{ items: AlertRule[] }>("/api/v1/alerts", signal ? { signal } : {})).items;
}

export function addAlert(client: PreviewClient, draft: AlertDraft): Promise<AlertRule> {
  return client.json("/api/v1/alerts", { method: "POST", json: draft });
}

function path(id: string, rest = ""): string {
  return `/api/v1/alerts/${encodeURIComponent(id)}${rest}`;
}

export function replaceAlert(client: PreviewClient, id: string, draft: AlertDraft): Promise<AlertRule> {
  return client.json(path(id), { method: "PUT", json: draft });
}

export async function removeAlert(client: PreviewClient, id: string): Promise<void> {
  await client.send(path(id), { method: "DELETE" });
}

export function testAlert(client: PreviewClient, id: string): Promise<AlertFiring> {
  return client.json(path(id, "/test"), { method: "POST" });
}

export function tryAlert(
  client: PreviewClient,
  generationId: string,
  condition: Condition,
  cooldownS: number,
): Promise<AlertTrial> {
  return client.json(of(generationId, "/preview/firings/trial"), {
    method: "POST",
    json: { condition, cooldown_s: cooldownS },
  });
}

export function listFirings(
  client: PreviewClient,
  id: string,
  cursor: string | null,
  signal?: AbortSignal,
): Promise<FiringPage> {
  const more = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
  return client.json(path(id, `/firings?${PAGE}${more}`), signal ? { signal } : {});
}

export function previewFirings(client: PreviewClient, generationId: string, signal?: AbortSignal): Promise<FiringPage> {
  return client.json(of(generationId, `/preview/firings?${PAGE}`), signal ? { signal } : {});
}

/** The rule with some parts changed, as it is sent. */
export function draftOfRule(rule: AlertRule, change: Partial<AlertDraft> = {}): AlertDraft {
  const { generation_id, project_id } = rule.scope;
  return {
    name: rule.name === rule.summary ? "" : rule.name,
    condition: rule.condition,
    scope: {
      ...(generation_id !== null && { generation_id }),
      ...(project_id !== null && { project_id }),
    },
    cooldown_s: rule.cooldown_s,
    enabled: rule.enabled,
    webhook: rule.webhook && { url: rule.webhook.url, body: rule.webhook.body },
    ...change,
  };
}
