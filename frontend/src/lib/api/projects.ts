import type { PreviewClient } from "./client";
import { of } from "./transport";
import type { FilesSaved } from "./files";
import type { Generation } from "./types";

/** A small project that comes with the service. */
export interface Example {
  name: string;
  title: string;
  framework: string;
  summary: string;
  first_request: string;
}

export async function listExamples(client: PreviewClient, signal?: AbortSignal): Promise<Example[]> {
  return (await client.json<{ items: Example[] }>("/api/v1/examples", signal ? { signal } : {})).items;
}

/** Add an example to the person's projects. */
export function addExample(client: PreviewClient, name: string): Promise<Generation> {
  return client.json(`/api/v1/examples/${encodeURIComponent(name)}`, { method: "POST" });
}

export function renameProject(client: PreviewClient, id: string, name: string): Promise<Generation> {
  return client.json(of(id, ""), { method: "PATCH", json: { name } });
}

/** Put a project in a group of the person's list; an empty text takes it out. */
export function moveProject(client: PreviewClient, id: string, group: string): Promise<Generation> {
  return client.json(of(id, ""), { method: "PATCH", json: { group } });
}

/** Ids of the projects in a group, also of those that are older than what the page lists. */
export async function idsOfGroup(client: PreviewClient, isIn: (group: string) => boolean): Promise<string[]> {
  const found: string[] = [];
  let more: string | null = "";
  while (more !== null) {
    const page: { generations: Generation[]; next_cursor: string | null } = await client.json(
      `/api/v1/generations?limit=100${more}`,
    );
    found.push(...page.generations.filter((one) => isIn(one.group ?? "")).map((one) => one.id));
    more = page.next_cursor === null ? null : `&cursor=${encodeURIComponent(page.next_cursor)}`;
  }
  return found;
}

/** A new project with the same files; of a preview that runs, with its data too. */
export async function duplicateProject(
  client: PreviewClient,
  id: string,
  name: string,
  isRunning: boolean,
): Promise<Generation> {
  if (isRunning) return client.json(of(id, "/fork"), { method: "POST", json: { name } });
  const archive = await (await client.send(of(id, "/archive?format=zip"))).blob();
  return client.uploadArchive(name, new File([archive], "project.zip", { type: "application/zip" }));
}

/** A removed project that can be restored. */
export interface RemovedProject {
  id: string;
  name: string;
  size_bytes: number;
  removed_at: string;
  expires_at: string;
}

export async function listRemoved(client: PreviewClient, signal?: AbortSignal): Promise<RemovedProject[]> {
  return (await client.json<{ items: RemovedProject[] }>("/api/v1/removed", signal ? { signal } : {})).items;
}

/** Whether a project that is deleted now can be restored. */
export async function keepsRemoved(client: PreviewClient): Promise<boolean> {
  return (await client.json<{ kept_s: number }>("/api/v1/removed")).kept_s > 0;
}

export function restoreRemoved(client: PreviewClient, id: string): Promise<Generation> {
  return client.json(`/api/v1/removed/${encodeURIComponent(id)}/restore`, { method: "POST" });
}

export async function deleteRemoved(client: PreviewClient, id: string): Promise<void> {
  await client.send(`/api/v1/removed/${encodeURIComponent(id)}`, { method: "DELETE" });
}

/** Where projects are imported from; without an address, nowhere. */
export async function importSource(client: PreviewClient, signal?: AbortSignal): Promise<string> {
  return (await client.json<{ address: string }>("/api/v1/imports", signal ? { signal } : {})).address;
}

/** What an import has to say beside what it made. */
interface Imported {
  origin: string;
  /** The hash; empty if it is not known. */
  commit: string;
  /** Sentences about what the files lack. */
  notes: string[];
}

/** Import a public repository of GitHub as a new project. */
export function importRepository(client: PreviewClient, url: string): Promise<Generation & Imported> {
  return client.json("/api/v1/imports", { method: "POST", json: { url } });
}

/** A change that an update makes or would make. */
type Update = FilesSaved & Imported;

/** What an update of a project from the repository that it was imported from would change. */
export function planUpdate(client: PreviewClient, id: string): Promise<Update> {
  return client.json(of(id, "/import?dry_run=true"), { method: "POST", json: {} });
}

/** Make just the update that was planned. Rejects with status 412 if the project's files are others now. */
export function makeUpdate(client: PreviewClient, id: string, { origin, commit, etag }: Update): Promise<Update> {
  return client.json(of(id, "/import"), {
    method: "POST",
    json: { url: origin, commit },
    headers: { "If-Match": etag },
  });
}
