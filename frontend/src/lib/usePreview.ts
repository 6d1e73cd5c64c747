import { useCallback, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "./api/client";
import { asProblem, blockingPreviews, longestLifeS, ORIGIN_REFUSED, Problem } from "./api/problem";
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
  /** Whether the service does not answer now: what was known of the preview may not be so any more. */
  isLost: boolean;
  /** Seconds from its launch that the preview may live at most; null while that is not known. */
  longestLifeS: number | null;
  /** Do once more what did not work. */
  again: () => Promise<void>;
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
  const [isLost, setLost] = useState(false);
  const [longest, setLongest] = useState<number | null>(null);
  const looks = useRef({ begun: 0, taken: 0 });
  const last = useRef<{ action: PreviewAction; what: () => Promise<unknown> }>(undefined);
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
    setBusy(null);
    setProblem(null);
    setLoaded(false);
    setLost(false);
    setLongest(null);
  }, [client, generationId]);

  const look = useCallback(async (): Promise<void> => {
    const mine = (looks.current.begun += 1);
    const found = await lookAt(client, generationId, known.current);
    // What was asked for earlier and comes later would put back what has changed since.
    if (generation.current !== generationId || mine < looks.current.taken) return;
    looks.current.taken = mine;
    setLost(found instanceof Problem);
    // Nothing else on the page would say so, and waiting does not help.
    if (found instanceof Problem && found.code === ORIGIN_REFUSED) setProblem(found);
    if (found instanceof Problem || found === null) return;
    setProblem((before) => (before?.code === ORIGIN_REFUSED ? null : before));
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
      last.current = { action, what };
      setBusy(action);
      setProblem(null);
      try {
        await what();
      } catch (error) {
        if (generation.current !== generationId) return;
        const found = asProblem(error);
        setProblem(found);
        setLongest((before) => longestLifeS(found) ?? before);
      }
      // Busy until it is known what came of it: between the two nothing true could be shown.
      await look();
      if (generation.current === generationId) setBusy(null);
    },
    [generationId, look],
  );

  const launch = useCallback(() => {
    setUsage([]);
    return act("launching", () => launchOrWhyNot(client, generationId));
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
  const again = useCallback(async () => {
    if (last.current) await act(last.current.action, last.current.what);
  }, [act]);
  return {
    instance,
    status,
    usage,
    busy,
    problem,
    isLoaded,
    isLost,
    longestLifeS: longest,
    again,
    launch,
    stop,
    restart,
    extend,
    countWatchers,
    dismissProblem,
    refresh,
  };
}

/** Where another preview is in the way, it is only said so of what could be launched in its place. */
async function launchOrWhyNot(client: PreviewClient, generationId: string): Promise<void> {
  try {
    await client.launch(generationId);
  } catch (error) {
    if (blockingPreviews(asProblem(error)).length === 0) throw error;
    await client.checkPlan(generationId).catch((reason: unknown) => {
      if (asProblem(reason).status === 400) throw reason;
    });
    throw error;
  }
}

/** The generation's preview now: the one that is known to be active, else the newest. Null: that cannot be told. */
async function lookAt(
  client: PreviewClient,
  generationId: string,
  known: PreviewInstance | null,
): Promise<{ instance: PreviewInstance | null; status: PreviewStatus | null } | Problem | null> {
  try {
    const instance = known ? await client.preview(known.id) : await client.newestPreview(generationId);
    if (!isActive(instance)) return known ? await lookAt(client, generationId, null) : { status: null, instance };
    // One that is going has none, and the answer would be a 404.
    if (instance?.status === "stopping" || client.stops.isStopping(generationId)) return { status: null, instance };
    const status = await client.status(generationId).catch(() => null);
    return { status: status?.id === instance?.id ? status : null, instance };
  } catch (error) {
    const problem = asProblem(error);
    const { status } = problem;
    if (status === 404 && known) return lookAt(client, generationId, null);
    return status === 0 || status >= 500 ? problem : null;
  }
}
