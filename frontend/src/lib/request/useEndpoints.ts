import { useEffect, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem, type Problem } from "../api/problem";
import type { Endpoint } from "../api/types";
import { usePreviewClient } from "../context";

export interface Endpoints {
  endpoints: readonly Endpoint[] | null;
  problem: Problem | null;
}

/** A generation's endpoints; asked for again when `revision` changes (a running preview knows more of itself). */
export function useEndpoints(generationId: string, revision: unknown, given?: PreviewClient): Endpoints {
  const client = usePreviewClient(given);
  const [found, setFound] = useState<Endpoints & { of: string }>({ endpoints: null, problem: null, of: generationId });
  useEffect(() => {
    let isOver = false;
    client.endpoints(generationId).then(
      (endpoints) => !isOver && setFound({ endpoints, problem: null, of: generationId }),
      (error: unknown) =>
        !isOver &&
        setFound((before) => ({
          endpoints: before.of === generationId ? before.endpoints : null,
          problem: asProblem(error),
          of: generationId,
        })),
    );
    return () => {
      isOver = true;
    };
  }, [client, generationId, revision]);
  return found.of === generationId ? found : { endpoints: null, problem: null };
}
