import { useEffect } from "react";

import { Problem } from "../api/problem";
import { openProbe, type Probe, readProbe } from "../api/probe";
import type { PreviewClient } from "../api/client";
import { readEventStream } from "../stream/sse";
import { type Loaded, useLoad } from "../ui/useLoad";

const RETRY_MS = 2_000;

/** The running probe of a generation or the last one; null if there was none. It is followed while it runs. */
export function useProbe(client: PreviewClient, generationId: string): Loaded<{ probe: Probe | null }> {
  const found = useLoad(generationId, async (signal) => {
    try {
      return { probe: await readProbe(client, generationId, signal) };
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return { probe: null };
      throw error;
    }
  });
  const { refresh, put, value, problem, isLoading } = found;
  const isOn = isRunning(value?.probe ?? null);
  useEffect(() => {
    if (!isOn || isLoading) return;
    const leaving = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const follow = async (): Promise<void> => {
      const response = await openProbe(client, generationId, leaving.signal);
      if (!response.body) return;
      await readEventStream(
        response.body,
        {
          onEvent: ({ event, data }) => {
            if (event === "probe") put(() => ({ probe: JSON.parse(data) as Probe }));
          },
        },
        leaving.signal,
      );
    };
    // Also after a stream without an end, such as too many streams at once: the probe is read, and followed again.
    const again = (): void => {
      if (!leaving.signal.aborted) timer = setTimeout(refresh, RETRY_MS);
    };
    follow().then(again, again);
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [client, generationId, isOn, isLoading, problem, put, refresh]);
  return found;
}

export function isRunning(probe: Probe | null): boolean {
  return probe?.state === "starting" || probe?.state === "running";
}
