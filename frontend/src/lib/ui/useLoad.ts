import { useCallback, useEffect, useRef, useState } from "react";

import { asProblem, type Problem } from "../api/problem";

export interface Loaded<T> {
  /** Null until the first answer. */
  value: T | null;
  /** Why the last attempt failed; the value from before stays. */
  problem: Problem | null;
  isLoading: boolean;
  refresh: () => void;
  /** Change what is shown until the next answer, such as the state after an action. */
  put: (change: (value: T) => T) => void;
}

interface State<T> {
  key: string;
  value: T | null;
  problem: Problem | null;
}

/**
 * Something that is read from the service: again for another key, and by `refresh`. A null key reads nothing. It is also
 * read again for another `version`; meanwhile the value stays.
 */
export function useLoad<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>, version = ""): Loaded<T> {
  const [state, setState] = useState<State<T> | null>(null);
  const [round, setRound] = useState(0);
  const [isLoading, setLoading] = useState(false);
  const now = useRef(load);
  useEffect(() => {
    now.current = load;
  });
  useEffect(() => {
    if (key === null) return;
    const mine = new AbortController();
    setLoading(true);
    now.current(mine.signal).then(
      (value) => {
        if (mine.signal.aborted) return;
        setState({ key, value, problem: null });
        setLoading(false);
      },
      (error: unknown) => {
        if (mine.signal.aborted) return;
        setState((before) => ({
          key,
          value: before?.key === key ? before.value : null,
          problem: asProblem(error),
        }));
        setLoading(false);
      },
    );
    return () => mine.abort();
  }, [key, round, version]);
  const refresh = useCallback(() => setRound((before) => before + 1), []);
  const put = useCallback(
    (change: (value: T) => T) =>
      setState((before) =>
        before === null || before.value === null ? before : { ...before, value: change(before.value) },
      ),
    [],
  );
  const shown = state?.key === key ? state : null;
  return {
    value: shown?.value ?? null,
    problem: shown?.problem ?? null,
    isLoading: isLoading && key !== null,
    refresh,
    put,
  };
}
