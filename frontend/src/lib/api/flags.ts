import type { AuditPage } from "./account";
import type { PreviewClient } from "./client";

/** A rule: all its conditions must hold; without any it applies to everybody. */
export interface FlagRule {
  value: string;
  users: string[];
  tiers: string[];
  projects: string[];
  percent: number | null;
  by: "user" | "project";
}

/** What operators set of a flag. */
export interface FlagContent {
  /** For all whom no rule concerns; null: the default. */
  value: string | null;
  rules: FlagRule[];
  reason: string;
}

export interface Flag extends FlagContent {
  name: string;
  values: string[];
  /** Further values, and why this service does not offer them. */
  not_offered: Record<string, string>;
  default: string;
  version: number;
  updated_at: string | null;
  updated_by: string;
  problem: string | null;
}

/** How many users get each value. */
export interface FlagReach {
  users: number;
  by_value: Record<string, number>;
  is_whole: boolean;
}

/** Launches with one value of a flag. */
export interface FlagArm {
  value: string;
  launches: number;
  failed: number;
  failure_rate: number | null;
  median_ms: number | null;
  p95_ms: number | null;
}

export interface FlagArms {
  items: FlagArm[];
  sentences: string[];
  hours: number;
}

const of = (signal?: AbortSignal) => (signal ? { signal } : {});
const at = (name: string, rest = ""): string => `/api/v1/operator/flags/${encodeURIComponent(name)}${rest}`;

export async function listFlags(client: PreviewClient, signal?: AbortSignal): Promise<Flag[]> {
  return (await client.json<{ items: Flag[] }>("/api/v1/operator/flags", of(signal))).items;
}

/** Refused if the flag has another version than the one that was read. */
export function changeFlag(client: PreviewClient, flag: Flag, content: FlagContent): Promise<Flag> {
  return client.json(at(flag.name), { method: "PUT", json: { ...sent(content), version: flag.version } });
}

export function flagReach(
  client: PreviewClient,
  name: string,
  content: FlagContent,
  signal?: AbortSignal,
): Promise<FlagReach> {
  return client.json(at(name, "/dry-run"), { method: "POST", json: sent(content), ...of(signal) });
}

export function flagArms(client: PreviewClient, name: string, hours: number, signal?: AbortSignal): Promise<FlagArms> {
  return client.json(at(name, `/arms?hours=${hours}`), of(signal));
}

const CHANGED = "operator: flag changed";

/** Changes of all flags, newest first. */
export function flagChanges(
  client: PreviewClient,
  cursor: string | null = null,
  signal?: AbortSignal,
): Promise<AuditPage> {
  const after = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
  return client.json(`/api/v1/operator/audit?action=${encodeURIComponent(CHANGED)}&limit=20${after}`, of(signal));
}

/** The content without empty lists, which the service refuses: an empty condition is left out. */
function sent({ value, rules, reason }: FlagContent): Record<string, unknown> {
  return {
    value,
    reason,
    rules: rules.map((rule) => ({
      value: rule.value,
      ...(rule.users.length > 0 && { users: rule.users }),
      ...(rule.tiers.length > 0 && { tiers: rule.tiers }),
      ...(rule.projects.length > 0 && { projects: rule.projects }),
      ...(rule.percent !== null && { percent: rule.percent, by: rule.by }),
    })),
  };
}
