import type { PreviewClient } from "./client";
import { of } from "./transport";
import type { Generation } from "./types";

/** A variable or a secret of a project or of a preset. */
export interface SettingsVariable {
  name: string;
  /** Null for a secret: its value is never sent to a browser. */
  value: string | null;
  secret: boolean;
  /** State of a feature flag; null if the value is none. */
  flag: boolean | null;
  /** The value that turns the flag. */
  toggled: string | null;
  /** A sentence, if the value has no effect as it is. */
  note: string | null;
}

/** Start options, as in the table `[start]` of `preview.toml`. */
export type StartOptions = Readonly<Record<string, unknown>>;

export interface SettingsLayer {
  variables: SettingsVariable[];
  start: StartOptions;
  memory_mb: number | null;
}

export interface Preset extends SettingsLayer {
  name: string;
  active: boolean;
}

export interface DetectedEntry {
  kind: "framework" | "app" | "command" | "directory" | "network" | "health" | "port" | "database" | "variable";
  name: string;
  value: string | null;
  source: string;
  where: string;
  made_up: boolean;
  text: string;
}

export interface ProjectEnvironment {
  project_id: string;
  revision: number;
  active_preset: string | null;
  settings: SettingsLayer;
  presets: Preset[];
  /** A sentence why a launch cannot use the settings. */
  problem: string | null;
  running: { generation_id: string; preview_id: string; preset: string | null; is_current: boolean }[];
  detected: { problem: string | null; entries: DetectedEntry[] } | null;
}

export interface EnvironmentChange {
  set?: Record<string, string>;
  unset?: string[];
  start?: StartOptions;
  memory_mb?: number;
  /** An empty text: none. */
  active_preset?: string;
}

export interface ImportedEnv {
  added: string[];
  changed: string[];
  same: string[];
  secrets: string[];
  applied: boolean;
}

export interface PresetDifference {
  name: string;
  state: "same" | "differs" | "only_a" | "only_b";
  secret: boolean;
  a: unknown;
  b: unknown;
}

function path(projectId: string, rest: string, preset: string | null = null): string {
  const query = preset === null ? "" : `?preset=${encodeURIComponent(preset)}`;
  return `/api/v1/projects/${encodeURIComponent(projectId)}${rest}${query}`;
}

/** The settings of a generation's project, with what detection decides for this generation. */
export async function readEnvironment(
  client: PreviewClient,
  generationId: string,
  signal?: AbortSignal,
): Promise<ProjectEnvironment> {
  const call = signal ? { signal } : {};
  const { project_id } = await client.json<Generation>(of(generationId, ""), call);
  const query = `?generation_id=${encodeURIComponent(generationId)}`;
  return client.json(path(project_id, `/environment${query}`), call);
}

export function changeEnvironment(
  client: PreviewClient,
  projectId: string,
  preset: string | null,
  change: EnvironmentChange,
): Promise<ProjectEnvironment> {
  return client.json(path(projectId, "/environment", preset), { method: "PATCH", json: change });
}

export function importEnvironment(
  client: PreviewClient,
  projectId: string,
  preset: string | null,
  text: string,
  dryRun: boolean,
): Promise<ImportedEnv> {
  const json = { text, dry_run: dryRun };
  return client.json(path(projectId, "/environment/import", preset), { method: "POST", json });
}

export async function setSecret(
  client: PreviewClient,
  projectId: string,
  preset: string | null,
  name: string,
  value: string,
): Promise<void> {
  await client.send(path(projectId, `/secrets/${encodeURIComponent(name)}`, preset), {
    method: "PUT",
    json: { value },
  });
}

export async function addPreset(
  client: PreviewClient,
  projectId: string,
  name: string,
  copyOf: string | null,
): Promise<void> {
  await client.send(path(projectId, "/presets"), { method: "POST", json: { name, copy_of: copyOf } });
}

export async function removePreset(client: PreviewClient, projectId: string, name: string): Promise<void> {
  await client.send(path(projectId, `/presets/${encodeURIComponent(name)}`), { method: "DELETE" });
}

/** Two presets over the project's own settings; null: these alone. */
export async function comparePresets(
  client: PreviewClient,
  projectId: string,
  a: string | null,
  b: string | null,
  signal?: AbortSignal,
): Promise<PresetDifference[]> {
  const query = new URLSearchParams({ ...(a !== null && { a }), ...(b !== null && { b }) });
  const found = await client.json<{ items: PresetDifference[] }>(
    `${path(projectId, "/environment/compare")}?${query}`,
    signal ? { signal } : {},
  );
  return found.items;
}
