import type { PreviewClient } from "./client";
import { Problem } from "./problem";
import { of } from "./transport";

/** A function, as the application has reported it. */
export interface ProfileFunction {
  name: string;
  /** File and line in the project; null for a library's. */
  place: string | null;
  /** Null if they were not counted. */
  calls: number | null;
  own_ms: number;
  total_ms: number;
}

export interface ProfileNode extends ProfileFunction {
  /** Index of the node that has called it. */
  parent: number | null;
  depth: number;
}

export interface Profile {
  state: "running" | "finished" | "failed";
  seconds: number;
  elapsed_ms: number;
  samples: number;
  left_out: number;
  /** Depth first, the most costly ones first. */
  nodes: ProfileNode[];
}

/** The running or the last measurement of the live process; null if there was none, or if nothing runs. */
export async function lastProfile(
  client: PreviewClient,
  generationId: string,
  signal: AbortSignal,
): Promise<Profile | null> {
  try {
    return await client.json<Profile>(of(generationId, "/preview/profile"), { signal });
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

/** Measure for some seconds which functions the time goes to. */
export function startProfile(client: PreviewClient, generationId: string, seconds: number): Promise<Profile> {
  return client.json(of(generationId, "/preview/profile"), { method: "POST", json: { seconds } });
}
