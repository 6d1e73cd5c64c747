import { useEffect, useState } from "react";

import type { PreviewClient } from "../api/client";
import type { SnapshotDiff } from "../api/data";
import { asProblem, type Problem } from "../api/problem";

/** The other side of a comparison that is not a snapshot: the running preview. */
export const NOW = "now";

interface FoundDiff {
  diff: SnapshotDiff | null;
  problem: Problem | null;
}

const NOTHING: FoundDiff = { diff: null, problem: null };

/** The changes between two snapshots, or one and now; compared again when `revision` changes. */
export function useDiff(
  client: PreviewClient,
  generationId: string,
  before: string,
  after: string,
  revision: number,
): FoundDiff {
  const [found, setFound] = useState(NOTHING);
  useEffect(() => {
    const asked = new AbortController();
    setFound(NOTHING);
    client.data.diff(generationId, before, after, asked.signal).then(
      (diff) => asked.signal.aborted || setFound({ diff, problem: null }),
      (error: unknown) => asked.signal.aborted || setFound({ diff: null, problem: asProblem(error) }),
    );
    return () => asked.abort();
  }, [client, generationId, before, after, revision]);
  return found;
}
