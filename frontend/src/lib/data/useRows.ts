import { useEffect, useState } from "react";

import type { PreviewClient } from "../api/client";
import type { TableRows } from "../api/data";
import { asProblem, type Problem } from "../api/problem";

export const PAGE_ROWS = 50;

/** A table of a preview's database. */
export interface TableChoice {
  database: string;
  table: string;
}

interface FoundRows {
  /** The last page that was read; it stays while the next one is read. */
  rows: TableRows | null;
  problem: Problem | null;
  isLoading: boolean;
}

/** A page of a table's rows; read again when `revision` changes. */
export function useRows(
  client: PreviewClient,
  generationId: string,
  { database, table }: TableChoice,
  offset: number,
  revision: unknown,
): FoundRows {
  const [found, setFound] = useState<FoundRows>({ rows: null, problem: null, isLoading: true });
  useEffect(() => {
    const asked = new AbortController();
    setFound((before) => ({ ...before, isLoading: true }));
    client.data.rows(generationId, { database, table, offset, limit: PAGE_ROWS }, asked.signal).then(
      (rows) => asked.signal.aborted || setFound({ rows, problem: null, isLoading: false }),
      (error: unknown) => asked.signal.aborted || setFound({ rows: null, problem: asProblem(error), isLoading: false }),
    );
    return () => asked.abort();
  }, [client, generationId, database, table, offset, revision]);
  return found;
}
