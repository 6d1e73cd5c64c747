import { useCallback, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "./api/client";
import type { DataDatabase, DataServer } from "./api/data";
import { asProblem, type Problem } from "./api/problem";
import type { PreviewState } from "./api/types";
import { usePreviewClient } from "./context";
import { usePreview } from "./usePreview";

export interface PreviewData {
  /** The state of the generation's preview; null while that is not known, `none` without one. */
  state: PreviewState | "none" | null;
  /** Whether a preview runs; without one there is nothing to read. */
  isRunning: boolean;
  /** Null until the first answer, and while no preview runs. */
  servers: readonly DataServer[] | null;
  databases: readonly DataDatabase[] | null;
  /** Why one of the two could not be read. */
  problem: Problem | null;
  isLoading: boolean;
  /** Read both again. */
  refresh: () => void;
}

export interface UsePreviewDataOptions {
  client?: PreviewClient | undefined;
}

interface Found {
  of: string;
  servers: readonly DataServer[] | null;
  databases: readonly DataDatabase[] | null;
  problem: Problem | null;
}

/** The servers and databases of a generation's running preview; read again when the preview has changed. */
export function usePreviewData(generationId: string, options: UsePreviewDataOptions = {}): PreviewData {
  const client = usePreviewClient(options.client);
  const { instance, isLoaded } = usePreview(generationId, { client, poll: false });
  const running = instance?.status === "running" ? instance.id : null;
  const [found, setFound] = useState<Found | null>(null);
  const [isLoading, setLoading] = useState(false);
  const newest = useRef(0);

  const look = useCallback(async (): Promise<void> => {
    if (running === null) return;
    const mine = (newest.current += 1);
    setLoading(true);
    const [servers, databases] = await Promise.allSettled([
      client.data.servers(generationId),
      client.data.databases(generationId),
    ]);
    // An earlier answer that comes later is older.
    if (mine !== newest.current) return;
    const failed = [servers, databases].find((one) => one.status === "rejected");
    setFound((before) => ({
      of: running,
      servers: servers.status === "fulfilled" ? servers.value : (kept(before, running)?.servers ?? null),
      databases: databases.status === "fulfilled" ? databases.value : (kept(before, running)?.databases ?? null),
      problem: failed ? asProblem(failed.reason) : null,
    }));
    setLoading(false);
  }, [client, generationId, running]);

  useEffect(() => {
    void look();
    const forget = client.onChange(generationId, () => void look());
    return () => {
      forget();
      newest.current += 1;
    };
  }, [client, generationId, look]);

  const refresh = useCallback(() => void look(), [look]);
  const shown = kept(found, running);
  return {
    state: isLoaded ? (instance?.status ?? "none") : null,
    isRunning: running !== null,
    servers: shown?.servers ?? null,
    databases: shown?.databases ?? null,
    problem: shown?.problem ?? null,
    isLoading: isLoading && running !== null,
    refresh,
  };
}

/** What was found, if it is of this preview. */
function kept(found: Found | null, preview: string | null): Found | null {
  return found !== null && found.of === preview ? found : null;
}
