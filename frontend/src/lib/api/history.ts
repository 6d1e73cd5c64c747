import type { PreviewClient } from "./client";
import { of } from "./transport";
import type { FilesChanged } from "./types";

export interface Version {
  number: number;
  created_at: string;
  author: string;
  /** Program that made it; may be empty. */
  agent: string;
  source: "push" | "sync" | "edit" | "upload" | "restore" | "fork" | "import";
  message: string;
  file_count: number;
  size_bytes: number;
  added: number;
  changed: number;
  removed: number;
  /** The newest failure of a version that has never started. */
  failed: { preview_id: string; kind: "launch" | "reload"; reason: string } | null;
}

export interface VersionList {
  items: Version[];
  next: number | null;
  oldest: number;
  limit_versions: number;
}

export interface FileDifference {
  path: string;
  change: "added" | "removed" | "changed";
  size_before: number | null;
  size_after: number | null;
  diff: string | null;
  left_out: string | null;
}

export interface VersionDiff {
  version: number;
  against: number;
  files: FileDifference[];
}

export interface Launch {
  preview_id: string;
  status: "starting" | "running" | "stopping" | "stopped" | "failed";
  cause: string | null;
  reason: string | null;
  exit_code: number | null;
  created_at: string;
  launch_ms: number | null;
  life_ms: number;
  version: number | null;
  /** How often a new process has taken over: restarts and reloads. */
  reloads: number;
  lines: number | null;
  requests: number;
  failures: number;
}

export interface LaunchList {
  items: Launch[];
  next: string | null;
}

interface Times {
  requests: number;
  errors: number;
  p50_ms: number;
  p95_ms: number;
}

export interface LaunchComparison {
  before: Launch;
  after: Launch;
  settings: { name: string; before: string | null; after: string | null }[];
  steps: { name: string; before_ms: number | null; after_ms: number | null }[];
  new_failures: { id: string; type: string; message: string; count: number }[];
  gone_failures: { id: string; type: string; message: string; count: number }[];
  endpoints: { endpoint: string; before: Times | null; after: Times | null }[];
}

/** A page of versions, newest first; with `before`, those below that number. */
export function listVersions(
  client: PreviewClient,
  generationId: string,
  signal?: AbortSignal,
  before: number | null = null,
): Promise<VersionList> {
  const more = before === null ? "" : `&before=${before}`;
  return client.json(of(generationId, `/versions?limit=100${more}`), signal ? { signal } : {});
}

/** What a version changed, or, with `against`, what differs from another one. */
export function versionDiff(
  client: PreviewClient,
  generationId: string,
  version: number,
  against: number | null,
  signal?: AbortSignal,
): Promise<VersionDiff> {
  const query = against === null ? "" : `?against=${against}`;
  return client.json(of(generationId, `/versions/${version}/diff${query}`), signal ? { signal } : {});
}

export function restoreVersion(client: PreviewClient, generationId: string, version: number): Promise<FilesChanged> {
  return client.json(of(generationId, `/versions/${version}/restore`), { method: "POST" });
}

/** A page of launches, newest first; `cursor` is the `next` of the page before. */
export function listLaunches(
  client: PreviewClient,
  generationId: string,
  signal?: AbortSignal,
  cursor: string | null = null,
): Promise<LaunchList> {
  const more = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
  return client.json(of(generationId, `/launches?limit=100${more}`), signal ? { signal } : {});
}

export function readLaunch(
  client: PreviewClient,
  generationId: string,
  previewId: string,
  signal: AbortSignal,
): Promise<Launch> {
  return client.json(of(generationId, `/launches/${encodeURIComponent(previewId)}`), { signal });
}

export function compareLaunches(
  client: PreviewClient,
  generationId: string,
  after: string,
  before: string,
  signal?: AbortSignal,
): Promise<LaunchComparison> {
  const path = `/launches/${encodeURIComponent(after)}/compare?against=${encodeURIComponent(before)}`;
  return client.json(of(generationId, path), signal ? { signal } : {});
}
