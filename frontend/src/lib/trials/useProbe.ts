import { useEffect } from "react";

import { Problem } from "../api/problem";
import { type Probe, readProbe } from "../api/probe";
import type { PreviewClient } from "../api/client";
import { type Loaded, useLoad } from "../ui/useLoad";

const EACH_MS = 1_000;

/** The running probe of a generation or the last one; null if there was none. It is read each second while it runs. */
export function useProbe(client: PreviewClient, generationId: string): Loaded<{ probe: Probe | null }> {
  const found = useLoad(generationId, async (signal) => {
    try {
      return { probe: await readProbe(client, generationId, signal) };
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return { probe: null };
      throw error;
    }
  });
  const { refresh, value, problem, isLoading } = found;
  const isOn = isRunning(value?.probe ?? null);
  useEffect(() => {
    if (!isOn || isLoading) return;
    const timer = setTimeout(refresh, problem ? EACH_MS * 5 : EACH_MS);
    return () => clearTimeout(timer);
  }, [isOn, isLoading, problem, refresh]);
  return found;
}

export function isRunning(probe: Probe | null): boolean {
  return probe?.state === "starting" || probe?.state === "running";
}
