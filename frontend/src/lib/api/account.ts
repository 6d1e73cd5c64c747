import type { PreviewClient } from "./client";

export interface ApiToken {
  id: string;
  name: string;
  role: "read" | "use" | "launch" | "admin";
  created_at: string;
  expires_at: string;
  /** To the hour; null if it was never used. */
  last_used_at: string | null;
}

export interface UsageItem {
  name: string;
  about: string;
  unit: "" | "bytes" | "seconds";
  used: number | null;
  limit: number | null;
  /** The operator's setting. */
  setting: string | null;
}

export interface AccountUsage {
  user_id: string;
  tier: string;
  is_operator: boolean;
  /** The least isolation level of the person's previews; null if there is none. */
  isolation_minimum: string | null;
  items: UsageItem[];
}

export interface OperatorPreview {
  id: string;
  generation_id: string;
  user_id: string;
  status: string;
  created_at: string;
  expires_at: string;
  /** Null while it waits for a node. */
  node: string | null;
  placement: "placed" | "queued" | "lost";
  /** These are null for previews of other nodes than the one that answers. */
  memory_bytes: number | null;
  cpu_percent: number | null;
  viewers: number | null;
}

/** Live previews, oldest first. */
export interface OperatorPreviewPage {
  items: OperatorPreview[];
  total: number;
  /** Number of previews that the live nodes may run. */
  limit: number;
  next: string | null;
}

export interface OperatorUser {
  id: string;
  tier: string;
  created_at: string;
  previews: number;
  generations: number;
  stored_bytes: number;
}

export interface StoredEnvironment {
  id: string;
  size_bytes: number;
  last_used_at: string;
  in_use: boolean;
}

type Items<T> = { items: T[] };
const of = (signal?: AbortSignal) => (signal ? { signal } : {});

export async function listTokens(client: PreviewClient, signal?: AbortSignal): Promise<ApiToken[]> {
  return (await client.json<Items<ApiToken>>("/api/v1/tokens", of(signal))).items;
}

export function createToken(
  client: PreviewClient,
  name: string,
  role: ApiToken["role"],
  expiresInS: number,
): Promise<ApiToken & { token: string }> {
  return client.json("/api/v1/tokens", { method: "POST", json: { name, role, expires_in: expiresInS } });
}

export async function revokeToken(client: PreviewClient, id: string): Promise<void> {
  await client.send(`/api/v1/tokens/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export function readUsage(client: PreviewClient, signal?: AbortSignal): Promise<AccountUsage> {
  return client.json("/api/v1/usage", of(signal));
}

export function operatorPreviews(
  client: PreviewClient,
  cursor: string | null,
  signal?: AbortSignal,
): Promise<OperatorPreviewPage> {
  const after = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
  return client.json(`/api/v1/operator/previews?limit=100${after}`, of(signal));
}

export async function stopAnyPreview(client: PreviewClient, id: string): Promise<void> {
  await client.send(`/api/v1/operator/previews/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export function operatorUsers(
  client: PreviewClient,
  signal?: AbortSignal,
): Promise<Items<OperatorUser> & { next: string | null }> {
  return client.json("/api/v1/operator/users?limit=200", of(signal));
}

export const TIERS = ["free", "pro", "enterprise"] as const;

export async function changeTier(client: PreviewClient, user: string, tier: string): Promise<void> {
  await client.send(`/api/v1/operator/users/${encodeURIComponent(user)}/tier`, {
    method: "PUT",
    json: { tier },
  });
}

export function storedEnvironments(
  client: PreviewClient,
  signal?: AbortSignal,
): Promise<Items<StoredEnvironment> & { limit_bytes: number }> {
  return client.json("/api/v1/operator/environments", of(signal));
}

/** A process that new previews of one environment are forked from. */
export interface TemplateFacts {
  key: string;
  is_ready: boolean;
  forks: number;
  age_s: number | null;
  why_not: string;
}

export function templatesOf(
  client: PreviewClient,
  signal?: AbortSignal,
): Promise<Items<TemplateFacts> & { limit: number }> {
  return client.json("/api/v1/operator/templates", of(signal));
}

/** Ends a template; the next launch that needs it has another one made. */
export async function dropTemplate(client: PreviewClient, key: string): Promise<void> {
  await client.send(`/api/v1/operator/templates/${encodeURIComponent(key)}`, { method: "DELETE" });
}

/** Has a template made again; launches use the old one until then. */
export async function rebuildTemplate(client: PreviewClient, key: string): Promise<void> {
  await client.send(`/api/v1/operator/templates/${encodeURIComponent(key)}/rebuild`, { method: "POST" });
}

/** A machine of the service. */
export interface ServiceNode {
  name: string;
  system: string;
  processors: number;
  live_previews: number;
  max_previews: number;
  isolation: string;
  is_live: boolean;
  is_draining: boolean;
  /** Null outside a cluster. */
  address: string | null;
}

/** Drains a node of a cluster, or gives it previews again. */
export async function drainNode(client: PreviewClient, name: string, draining: boolean): Promise<void> {
  await client.send(`/api/v1/operator/nodes/${encodeURIComponent(name)}/drain`, {
    method: draining ? "POST" : "DELETE",
  });
}

export async function serviceNodes(client: PreviewClient, signal?: AbortSignal): Promise<ServiceNode[]> {
  return (await client.json<Items<ServiceNode>>("/api/v1/operator/nodes", of(signal))).items;
}

export async function removeEnvironment(client: PreviewClient, id: string): Promise<void> {
  await client.send(`/api/v1/operator/environments/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** Something that somebody did. */
export interface AuditEntry {
  id: string;
  seq: number;
  at: string;
  /** A user's id, or `guest NAME`. */
  user_id: string;
  action: string;
  subject: string;
  preview_id: string;
  detail: string;
  outcome: "ok" | "refused" | "failed" | "unknown";
  /** `browser`, `bearer`, `token ID`, `share ID` or `service`; may be empty. */
  via: string;
  address: string;
}

export interface AuditPage {
  items: AuditEntry[];
  next: string | null;
}

/** A page of the audit trail, newest first: of all users for operators, else what concerns the person. */
export function readAudit(
  client: PreviewClient,
  isOperator: boolean,
  cursor: string | null,
  signal?: AbortSignal,
): Promise<AuditPage> {
  const after = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
  return client.json(`/api/v1/${isOperator ? "operator/" : ""}audit?limit=50${after}`, of(signal));
}

/** Whether no entry of the trail was changed, removed or moved. */
export function verifyAudit(
  client: PreviewClient,
): Promise<{ is_whole: boolean; entries: number; problem: string | null }> {
  return client.json("/api/v1/operator/audit/verify");
}
