import { useCallback, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "./api/client";
import { asProblem, type Problem } from "./api/problem";
import type { PreviewInstance, PreviewState, PreviewStatus } from "./api/types";
import { usePreviewClient } from "./context";

export type PreviewAction = "launching" | "stopping" | "restarting" | "extending";

export interface Usage {
  at: number;
  memoryMb: number;
  cpuPercent: number;
}

export interface Preview {
  /** The newest preview of the generation; null where there was none. */
  instance: PreviewInstance | null;
  status: PreviewStatus | null;
  /** Measurements of the last minutes, oldest first. */
  usage: readonly Usage[];
  /** What is under way because somebody here asked for it. */
  busy: PreviewAction | null;
  /** Why the last action was refused or did not work. */
  problem: Problem | null;
  /** Whether the first answer has come. */
  isLoaded: boolean;
  launch: () => Promise<void>;
  stop: () => Promise<void>;
  restart: () => Promise<void>;
  extend: (seconds: number) => Promise<void>;
  /** How many streams are open on it, asked for now. */
  countWatchers: () => Promise<number>;
  dismissProblem: () => void;
  refresh: () => void;
}

export interface UsePreviewOptions {
  client?: PreviewClient | undefined;
  /** False: do not measure; only changes of state are taken in. */
  poll?: boolean;
}

const POLL_MS = 2_000;
const MAX_USAGE = 90;
const ACTIVE: readonly PreviewState[] = ["starting", "running", "stopping"];

export function isActive(instance: PreviewInstance | null): boolean {
  return instance !== null && ACTIVE.includes(instance.status);
}

/** A generation's preview: how it is, and launching, stopping, restarting and extending it. */
export function usePreview(generationId: string, options: UsePreviewOptions = {}): Preview {
  const client = usePreviewClient(options.client);
  const [instance, setInstance] = useState<PreviewInstance | null>(null);
  const [status, setStatus] = useState<PreviewStatus | null>(null);
  const [usage, setUsage] = useState<readonly Usage[]>([]);
  const [busy, setBusy] = useState<PreviewAction | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isLoaded, setLoaded] = useState(false);
  const generation = useRef(generationId);
  const known = useRef<PreviewInstance | null>(null);
  useEffect(() => {
    generation.current = generationId;
    known.current = null;
  }, [generationId]);

  useEffect(() => {
    setInstance(null);
    setStatus(null);
    setUsage([]);
    setProblem(null);
    setLoaded(false);
  }, [client, generationId]);

  const look = useCallback(async (): Promise<void> => {
    const found = await lookAt(client, generationId, known.current);
    if (generation.current !== generationId || found === null) return;
    known.current = isActive(found.instance) ? found.instance : null;
    setInstance(found.instance);
    setStatus(found.status);
    setLoaded(true);
    const { memory_usage_mb: memoryMb, cpu_usage_percent: cpuPercent } = found.status ?? {};
    if (typeof memoryMb === "number" && typeof cpuPercent === "number") {
      setUsage((before) => [...before, { at: Date.now(), memoryMb, cpuPercent }].slice(-MAX_USAGE));
    }
  }, [client, generationId]);

  const active = isActive(instance) && (options.poll ?? true);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const poll = async (): Promise<void> => {
      if (document.visibilityState === "visible") await look();
      if (!over && active) timer = setTimeout(() => void poll(), POLL_MS);
    };
    const now = (): void => {
      clearTimeout(timer);
      void poll();
    };
    now();
    const forget = client.onChange(generationId, now);
    document.addEventListener("visibilitychange", now);
    return () => {
      over = true;
      clearTimeout(timer);
      forget();
      document.removeEventListener("visibilitychange", now);
    };
  }, [client, generationId, look, active]);

  const act = useCallback(
    async (action: PreviewAction, what: () => Promise<unknown>): Promise<void> => {
      setBusy(action);
      setProblem(null);
      try {
        await what();
      } catch (error) {
        if (generation.current === generationId) setProblem(asProblem(error));
      } finally {
        if (generation.current === generationId) setBusy(null);
      }
      await look();
    },
    [generationId, look],
  );

  const launch = useCallback(() => {
    setUsage([]);
    return act("launching", () => client.launch(generationId));
  }, [act, client, generationId]);
  const stop = useCallback(() => act("stopping", () => client.stop(generationId)), [act, client, generationId]);
  const restart = useCallback(() => {
    setUsage([]);
    return act("restarting", () => client.restart(generationId));
  }, [act, client, generationId]);
  const extend = useCallback(
    (seconds: number) => act("extending", () => client.extend(generationId, seconds)),
    [act, client, generationId],
  );
  const previewId = instance?.id;
  const countWatchers = useCallback(
    async () => (previewId === undefined ? 0 : ((await client.preview(previewId)).watchers ?? 0)),
    [client, previewId],
  );
  const dismissProblem = useCallback(() => setProblem(null), []);
  const refresh = useCallback(() => void look(), [look]);
  return {
    instance,
    status,
    usage,
    busy,
    problem,
    isLoaded,
    launch,
    stop,
    restart,
    extend,
    countWatchers,
    dismissProblem,
    refresh,
  };
}

/** The generation's preview now: the one that is known to be active, else the newest. Null: nobody answered. */
async function lookAt(
  client: PreviewClient,
  generationId: string,
  known: PreviewInstance | null,
): Promise<{ instance: PreviewInstance | null; status: PreviewStatus | null } | null> {
  try {
    const instance = known
      ? await client.preview(known.id)
      : ((await client.previews()).find((one) => one.generation_id === generationId) ?? null);
    if (!isActive(instance)) return known ? await lookAt(client, generationId, null) : { status: null, instance };
    const status = await client.status(generationId).catch(() => null);
    return { status: status?.id === instance?.id ? status : null, instance };
  } catch {
    return null;
  }
}
