import { useEffect, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem, type Problem } from "../api/problem";
import type { EndpointListing } from "../api/types";
import { usePreviewClient } from "../context";

export interface Endpoints {
  /** Null until the first answer. */
  listing: EndpointListing | null;
  problem: Problem | null;
}

/** A generation's endpoints; asked for again when `revision` changes (a running preview knows more of itself). */
export function useEndpoints(generationId: string, revision: unknown, given?: PreviewClient): Endpoints {
  const client = usePreviewClient(given);
  const [found, setFound] = useState<Endpoints & { of: string }>({ listing: null, problem: null, of: generationId });
  useEffect(() => {
    let isOver = false;
    client.endpoints(generationId).then(
      (listing) => !isOver && setFound({ listing, problem: null, of: generationId }),
      (error: unknown) =>
        !isOver &&
        setFound((before) => ({
          listing: before.of === generationId ? before.listing : null,
          problem: asProblem(error),
          of: generationId,
        })),
    );
    return () => {
      isOver = true;
    };
  }, [client, generationId, revision]);
  return found.of === generationId ? found : { listing: null, problem: null };
}
