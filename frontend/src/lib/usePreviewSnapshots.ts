import { useCallback, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "./api/client";
import type { Replaced, Snapshot } from "./api/data";
import { asProblem, type Problem } from "./api/problem";
import type { Generation } from "./api/types";
import { usePreviewClient } from "./context";

export type SnapshotAction = "saving" | "restoring" | "deleting" | "undeleting" | "resetting" | "forking";

export type SnapshotOutcome =
  | { kind: "saved"; snapshot: Snapshot }
  | ({ kind: "restored"; snapshot: Snapshot } & Replaced)
  | ({ kind: "reset" } & Replaced)
  | { kind: "deleted" | "undeleted"; snapshot: Snapshot }
  | { kind: "forked"; generation: Generation };

export interface PreviewSnapshots {
  /** Newest first; null until the first answer. */
  snapshots: readonly Snapshot[] | null;
  busy: SnapshotAction | null;
  /** The result of the last action. */
  outcome: SnapshotOutcome | null;
  /** Why the last action, or the list, failed. */
  problem: Problem | null;
  save: (name: string) => Promise<void>;
  restore: (snapshot: Snapshot) => Promise<void>;
  /** Delete it; `undelete` brings it back. */
  remove: (snapshot: Snapshot) => Promise<void>;
  undelete: (snapshot: Snapshot) => Promise<void>;
  /** Null: the data of the running preview. */
  fork: (snapshotId: string | null, name: string) => Promise<void>;
  reset: () => Promise<void>;
  /** Forget the outcome and the problem. */
  dismiss: () => void;
  refresh: () => void;
}

interface Found {
  of: string;
  list: readonly Snapshot[] | null;
  problem: Problem | null;
}

interface Done extends Pick<PreviewSnapshots, "busy" | "outcome" | "problem"> {
  of: string;
}

const IDLE = { busy: null, outcome: null, problem: null };
const NOTHING = { list: null, problem: null };

/** The data snapshots of a generation, with or without a running preview; saving, restoring and forking them. */
export function usePreviewSnapshots(
  generationId: string,
  options: { client?: PreviewClient | undefined } = {},
): PreviewSnapshots {
  const client = usePreviewClient(options.client);
  const [found, setFound] = useState<Found>({ of: generationId, list: null, problem: null });
  const [done, setDone] = useState<Done>({ of: generationId, ...IDLE });
  const newest = useRef(0);

  const look = useCallback(async (): Promise<void> => {
    const mine = (newest.current += 1);
    const next = await client.data.snapshots(generationId).then(
      (list) => ({ list, problem: null }),
      (error: unknown) => ({ problem: asProblem(error) }),
    );
    // An earlier answer that comes later is older.
    if (mine !== newest.current) return;
    setFound((before) => ({ ...(before.of === generationId ? before : { list: null }), of: generationId, ...next }));
  }, [client, generationId]);

  useEffect(() => {
    void look();
    // Each action below tells of a change, too.
    const forget = client.onChange(generationId, () => void look());
    return () => {
      forget();
      newest.current += 1;
    };
  }, [client, generationId, look]);

  const act = useCallback(
    async (busy: SnapshotAction, what: () => Promise<SnapshotOutcome>): Promise<void> => {
      setDone({ of: generationId, ...IDLE, busy });
      const next = await what().then(
        (outcome) => ({ outcome }),
        (error: unknown) => ({ problem: asProblem(error) }),
      );
      setDone((before) => (before.of === generationId ? { of: generationId, ...IDLE, ...next } : before));
    },
    [generationId],
  );

  const { data } = client;
  const save = useCallback(
    (name: string) =>
      act("saving", async () => ({ kind: "saved", snapshot: await data.saveSnapshot(generationId, name) })),
    [act, data, generationId],
  );
  const restore = useCallback(
    (snapshot: Snapshot) =>
      act("restoring", async () => {
        return { kind: "restored", snapshot, ...(await data.restoreSnapshot(generationId, snapshot.id)) };
      }),
    [act, data, generationId],
  );
  const remove = useCallback(
    (snapshot: Snapshot) =>
      act("deleting", async () => {
        await data.deleteSnapshot(generationId, snapshot.id);
        return { kind: "deleted", snapshot };
      }),
    [act, data, generationId],
  );
  const undelete = useCallback(
    (snapshot: Snapshot) =>
      act("undeleting", async () => {
        return { kind: "undeleted", snapshot: await data.undeleteSnapshot(generationId, snapshot.id) };
      }),
    [act, data, generationId],
  );
  const fork = useCallback(
    (id: string | null, name: string) =>
      act("forking", async () => ({ kind: "forked", generation: await data.fork(generationId, id, name) })),
    [act, data, generationId],
  );
  const reset = useCallback(
    () => act("resetting", async () => ({ kind: "reset", ...(await data.reset(generationId)) })),
    [act, data, generationId],
  );
  const dismiss = useCallback(() => setDone({ of: generationId, ...IDLE }), [generationId]);
  const refresh = useCallback(() => void look(), [look]);
  const { busy, outcome, problem: refused } = done.of === generationId ? done : IDLE;
  const { list: snapshots, problem: unread } = found.of === generationId ? found : NOTHING;
  const problem = refused ?? unread;
  return { snapshots, busy, outcome, problem, save, restore, remove, undelete, fork, reset, dismiss, refresh };
}
