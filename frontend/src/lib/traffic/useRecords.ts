import { useCallback, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem, type Problem } from "../api/problem";
import { type Capture, listRecords, openRecords, type RecordedRequest } from "../api/records";
import { backoffMs } from "../stream/backoff";
import { readEventStream } from "../stream/sse";

/** Kept by the page; the service has the rest. */
export const MOST_RECORDS = 5_000;

export interface Records {
  /** Newest first; null until the first answer. */
  records: readonly RecordedRequest[] | null;
  /** Whether the service has older ones. */
  hasOlder: boolean;
  /** Records that were not kept as the service was too busy. */
  lost: number;
  capture: Capture | null;
  problem: Problem | null;
  isLive: boolean;
  loadOlder: () => void;
  put: (record: RecordedRequest) => void;
  setCapture: (capture: Capture) => void;
  refresh: () => void;
}

interface State {
  key: string;
  records: readonly RecordedRequest[] | null;
  next: number | null;
  lost: number;
  capture: Capture | null;
  problem: Problem | null;
  isLive: boolean;
}

const RETRY_MS = 2_000;
/** A traceback is printed after its response. */
const FAILURE_MS = 1_500;
/** The list is drawn so often, however many requests there are. */
const GATHER_MS = 120;

/** The recorded requests that pass a filter: the newest at first, then each as it is recorded. */
export function useRecords(client: PreviewClient, generationId: string, previewId: string, filter: string): Records {
  const key = JSON.stringify([generationId, previewId, filter]);
  const [state, setState] = useState<State>(() => empty(key));
  const [round, setRound] = useState(0);
  const isLoading = useRef(false);

  useEffect(() => {
    const leaving = new AbortController();
    const { signal } = leaving;
    const update = (change: (before: State) => State): void => {
      if (!signal.aborted) setState((before) => change(before.key === key ? before : empty(key)));
    };
    void follow(client, generationId, filter, signal, {
      onPage: (page) =>
        update((before) => ({
          ...before,
          records: page.items,
          next: page.next,
          lost: page.lost,
          capture: page.capture,
          problem: null,
        })),
      onRecords: (fresh) => update((before) => ({ ...before, records: merged(before.records ?? [], fresh) })),
      onLive: (isLive) => update((before) => ({ ...before, isLive, ...(isLive && { problem: null }) })),
      onProblem: (problem) => update((before) => ({ ...before, problem, isLive: false })),
    });
    return () => leaving.abort();
  }, [client, generationId, filter, key, round]);

  const shown = state.key === key ? state : empty(key);
  const { next } = shown;
  const loadOlder = useCallback(() => {
    if (next === null || isLoading.current) return;
    isLoading.current = true;
    listRecords(client, generationId, { filter, before: next })
      .then(
        (page) =>
          setState((before) =>
            before.key !== key
              ? before
              : { ...before, records: merged(page.items, before.records ?? []), next: page.next },
          ),
        (error: unknown) => setState((before) => ({ ...before, problem: asProblem(error) })),
      )
      .finally(() => (isLoading.current = false));
  }, [client, generationId, filter, key, next]);
  const put = useCallback(
    (record: RecordedRequest) =>
      setState((before) => ({
        ...before,
        records: before.records?.map((one) => (one.number === record.number ? record : one)) ?? null,
      })),
    [],
  );
  const setCapture = useCallback((next: Capture) => setState((before) => ({ ...before, capture: next })), []);
  const refresh = useCallback(() => setRound((before) => before + 1), []);
  const { records, lost, capture, problem, isLive } = shown;
  const hasOlder = next !== null && (records?.length ?? 0) < MOST_RECORDS;
  return { records, hasOlder, lost, capture, problem, isLive, loadOlder, put, setCapture, refresh };
}

function empty(key: string): State {
  return { key, records: null, next: null, lost: 0, capture: null, problem: null, isLive: false };
}

interface Handlers {
  onPage: (page: Awaited<ReturnType<typeof listRecords>>) => void;
  onRecords: (records: RecordedRequest[]) => void;
  onLive: (isLive: boolean) => void;
  onProblem: (problem: Problem) => void;
}

/** Read the newest page, then each as it is stored; connect again after a loss until the signal is given. */
async function follow(
  client: PreviewClient,
  generationId: string,
  filter: string,
  signal: AbortSignal,
  handlers: Handlers,
): Promise<void> {
  let newest: number | null = null;
  const isLeft = (): boolean => signal.aborted;
  for (let attempt = 1; !signal.aborted; attempt += 1) {
    try {
      if (newest === null) {
        const page = await listRecords(client, generationId, { filter }, signal);
        handlers.onPage(page);
        newest = page.items[0]?.number ?? 0;
      }
      const response = await openRecords(client, generationId, { filter, after: newest }, signal);
      if (response.status === 204 || !response.body) return;
      handlers.onLive(true);
      let fresh: RecordedRequest[] = [];
      let timer: ReturnType<typeof setTimeout> | undefined;
      let lookup: ReturnType<typeof setTimeout> | undefined;
      const findFailures = (): void => {
        lookup = undefined;
        if (signal.aborted) return;
        // What fails here is no loss: the record itself names its failure too.
        listRecords(client, generationId, { filter }, signal).then(
          (page) => handlers.onRecords(page.items),
          () => undefined,
        );
      };
      const hand = (): void => {
        timer = undefined;
        if (fresh.some((one) => (one.status ?? 500) >= 500)) lookup ??= setTimeout(findFailures, FAILURE_MS);
        handlers.onRecords(fresh);
        fresh = [];
      };
      await readEventStream(
        response.body,
        {
          onEvent: (event) => {
            const record = event.event === "request" ? recordOf(event.data) : null;
            if (record === null) return;
            newest = Math.max(newest ?? 0, record.number);
            attempt = 1;
            fresh.push(record);
          },
          onFlush: () => {
            if (fresh.length > 0) timer ??= setTimeout(hand, GATHER_MS);
          },
        },
        signal,
      );
      handlers.onLive(false);
    } catch (error) {
      if (isLeft()) return;
      const problem = asProblem(error);
      handlers.onProblem(problem);
      if (!problem.isTemporary) return;
    }
    await new Promise((resolve) => setTimeout(resolve, backoffMs(attempt, RETRY_MS)));
  }
}

function recordOf(data: string): RecordedRequest | null {
  try {
    const record = JSON.parse(data) as RecordedRequest;
    return typeof record.number === "number" ? record : null;
  } catch {
    return null;
  }
}

/** Both lists as one, newest first; each record once. */
export function merged(one: readonly RecordedRequest[], other: readonly RecordedRequest[]): RecordedRequest[] {
  const known = new Map(one.map((record) => [record.number, record]));
  for (const record of other) known.set(record.number, record);
  return [...known.values()].sort((a, b) => b.number - a.number).slice(0, MOST_RECORDS);
}
