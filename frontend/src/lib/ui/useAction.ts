import { useCallback, useEffect, useRef, useState } from "react";

import { asProblem, type Problem } from "../api/problem";

export interface Action {
  /** A few words; null while nothing runs. */
  busy: string | null;
  /** A sentence about the last one that succeeded. */
  done: string | null;
  problem: Problem | null;
  /** Do one thing at a time. `act` returns a sentence, or nothing. */
  run: (busy: string, act: () => Promise<string | undefined>) => Promise<void>;
  dismiss: () => void;
}

/** Things that a person starts by a button, one after the other, with their outcome. */
export function useAction(): Action {
  const [state, setState] = useState<{ busy: string | null; done: string | null; problem: Problem | null }>({
    busy: null,
    done: null,
    problem: null,
  });
  const isOn = useRef(false);
  const isGone = useRef(false);
  useEffect(() => {
    isGone.current = false;
    return () => {
      isGone.current = true;
    };
  }, []);
  const run = useCallback(async (busy: string, act: () => Promise<string | undefined>): Promise<void> => {
    if (isOn.current) return;
    isOn.current = true;
    setState({ busy, done: null, problem: null });
    try {
      const done = (await act()) ?? null;
      if (!isGone.current) setState({ busy: null, done, problem: null });
    } catch (error) {
      if (!isGone.current) setState({ busy: null, done: null, problem: asProblem(error) });
    } finally {
      isOn.current = false;
    }
  }, []);
  const dismiss = useCallback(() => setState({ busy: null, done: null, problem: null }), []);
  return { ...state, run, dismiss };
}
