import { forgetInTab, keepInTab, keptInTab } from "../sessionKeep";
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

const MEASURED = "preview:profile:";

/**
 * The running or the last measurement of the live process that this tab has started; null if there is none, or if
 * nothing runs. Nothing is asked before the first one: the service would answer 404.
 */
export async function lastProfile(
  client: PreviewClient,
  generationId: string,
  signal: AbortSignal,
): Promise<Profile | null> {
  if (keptInTab(MEASURED, generationId) !== true) return null;
  try {
    return await client.json<Profile>(of(generationId, "/preview/profile"), { signal });
  } catch (error) {
    if (!(error instanceof Problem && error.status === 404)) throw error;
    forgetInTab(MEASURED, generationId);
    return null;
  }
}

/** Measure for some seconds which functions the time goes to. */
export async function startProfile(client: PreviewClient, generationId: string, seconds: number): Promise<Profile> {
  const started = await client.json<Profile>(of(generationId, "/preview/profile"), {
    method: "POST",
    json: { seconds },
  });
  keepInTab(MEASURED, generationId, true);
  return started;
}
