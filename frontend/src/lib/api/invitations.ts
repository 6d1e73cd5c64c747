import type { PreviewClient } from "./client";
import type { Session } from "./types";

export const MOST_MEMBER_NAME = 40;

export interface Member {
  user_id: string;
  name: string;
  role: string;
  created_at: string;
  /** Null for a person who may use the service. */
  removed_at: string | null;
}

export interface Invitation {
  id: string;
  state: "open" | "used" | "expired" | "revoked";
  note: string;
  created_by: string;
  created_at: string;
  expires_at: string;
  most_uses: number;
  uses: number;
  tier: string;
  role: string;
  people: Member[];
}

export interface InvitationChoice {
  note: string;
  uses: number;
  expires_in: number;
  tier: string;
  role: string;
}

const BASE = "/api/v1/operator/invitations";

export async function listInvitations(client: PreviewClient, signal?: AbortSignal): Promise<Invitation[]> {
  return (await client.json<{ items: Invitation[] }>(BASE, signal ? { signal } : {})).items;
}

export function createInvitation(
  client: PreviewClient,
  choice: InvitationChoice,
): Promise<Invitation & { url: string }> {
  return client.json(BASE, { method: "POST", json: choice });
}

export async function revokeInvitation(client: PreviewClient, id: string): Promise<void> {
  await client.send(`${BASE}/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export async function removeMember(client: PreviewClient, userId: string): Promise<void> {
  await client.send(`/api/v1/operator/members/${encodeURIComponent(userId)}`, { method: "DELETE" });
}

/** Use an invitation: the service sets the session's cookie. */
export function joinService(client: PreviewClient, code: string, name: string): Promise<Session> {
  return client.json("/api/v1/join", { method: "POST", json: { code, name } });
}
