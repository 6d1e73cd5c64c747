import type { PreviewClient } from "./client";
import { of } from "./transport";

export type Role = "owner" | "watch" | "use";
export type TargetKind = "line" | "request" | "failure";

/** A line, a request or a failure; `id` is its number, or the failure's id. */
export interface Target {
  kind: TargetKind;
  id: string;
}

export interface Viewer {
  id: string;
  name: string;
  role: Role;
  /** 0 to 7. */
  colour: number;
  target: Target | null;
}

export interface Me {
  id: string;
  name: string;
  role: Role;
  colour: number;
  generation_id: string;
  project: string;
  preview_id: string;
  expires_at: string;
}

export interface Comment {
  id: string;
  preview_id: string;
  target: Target;
  author_id: string;
  author: string;
  role: Role;
  /** Plain text of a person. */
  text: string;
  resolved: boolean;
  created_at: string;
}

const PAGE = 200;
/** More pages than a preview can have comments for. */
const MOST_PAGES = 5;

export function joinPreview(client: PreviewClient, generationId: string, token: string, name: string): Promise<Me> {
  return client.json(of(generationId, "/preview/join"), { method: "POST", json: { token, name } });
}

export function whoAmI(client: PreviewClient, generationId: string, signal?: AbortSignal): Promise<Me> {
  return client.json(of(generationId, "/preview/viewers/me"), signal ? { signal } : {});
}

/** Show others what you look at, or under which name; or say that you have read the comments. */
export async function changeMe(
  client: PreviewClient,
  generationId: string,
  change: { name?: string; target?: Target | null; comments_read?: true },
): Promise<void> {
  await client.send(of(generationId, "/preview/viewers/me"), { method: "PUT", json: change });
}

export async function leavePreview(client: PreviewClient, generationId: string): Promise<void> {
  await client.send(of(generationId, "/preview/viewers/me"), { method: "DELETE" });
}

export async function removeViewer(client: PreviewClient, generationId: string, id: string): Promise<void> {
  await client.send(of(generationId, `/preview/viewers/${encodeURIComponent(id)}`), { method: "DELETE" });
}

export function openViewers(client: PreviewClient, generationId: string, signal: AbortSignal): Promise<Response> {
  return client.send(of(generationId, "/preview/viewers"), { headers: { Accept: "text/event-stream" }, signal });
}

/** All comments on a preview, oldest first. */
export async function listComments(
  client: PreviewClient,
  generationId: string,
  previewId: string,
  signal?: AbortSignal,
): Promise<Comment[]> {
  const found: Comment[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const query = new URLSearchParams({ preview_id: previewId, limit: String(PAGE), ...(cursor && { cursor }) });
    const path = of(generationId, `/preview/comments?${query.toString()}`);
    const answer: { items: Comment[]; next: string | null } = await client.json(path, signal ? { signal } : {});
    found.push(...answer.items);
    cursor = answer.next;
    if (cursor === null) break;
  }
  return found.reverse();
}

export function addComment(
  client: PreviewClient,
  generationId: string,
  previewId: string,
  target: Target,
  text: string,
): Promise<Comment> {
  return client.json(of(generationId, "/preview/comments"), {
    method: "POST",
    json: { preview_id: previewId, target, text },
  });
}

function onePath(generationId: string, comment: Comment): string {
  const query = new URLSearchParams({ preview_id: comment.preview_id }).toString();
  return of(generationId, `/preview/comments/${encodeURIComponent(comment.id)}?${query}`);
}

export function resolveComment(
  client: PreviewClient,
  generationId: string,
  comment: Comment,
  resolved: boolean,
): Promise<Comment> {
  return client.json(onePath(generationId, comment), { method: "PUT", json: { resolved } });
}

export async function deleteComment(client: PreviewClient, generationId: string, comment: Comment): Promise<void> {
  await client.send(onePath(generationId, comment), { method: "DELETE" });
}
