import { useCallback, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "../api/client";
import type { QueryRows } from "../api/data";
import { asProblem, type Problem } from "../api/problem";

export const MOST_ROWS = 100;

export interface Query {
  sql: string;
  write: (sql: string) => void;
  isOn: boolean;
  result: QueryRows | null;
  problem: Problem | null;
  run: (database: string) => Promise<void>;
  cancel: () => void;
}

/** One read-only statement and its result. */
export function useQuery(client: PreviewClient, generationId: string): Query {
  const [sql, write] = useState("");
  const [isOn, setOn] = useState(false);
  const [result, setResult] = useState<QueryRows | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const asked = useRef<AbortController>(undefined);
  const run = useCallback(
    async (database: string): Promise<void> => {
      const mine = new AbortController();
      asked.current?.abort();
      asked.current = mine;
      setOn(true);
      const [found, failed] = await client.data
        .query(generationId, { database, sql, limit: MOST_ROWS }, mine.signal)
        .then(
          (rows) => [rows, null] as const,
          (error: unknown) => [null, asProblem(error)] as const,
        );
      if (mine.signal.aborted) return;
      setResult(found);
      setProblem(failed);
      setOn(false);
    },
    [client, generationId, sql],
  );
  const cancel = useCallback(() => {
    asked.current?.abort();
    setOn(false);
  }, []);
  useEffect(() => cancel, [cancel]);
  return { sql, write, isOn, result, problem, run, cancel };
}
