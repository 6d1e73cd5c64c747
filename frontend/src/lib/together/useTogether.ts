import { useEffect, useMemo, useState, useSyncExternalStore } from "react";

import type { PreviewClient } from "../api/client";
import type { Target, TargetKind, Viewer } from "../api/together";
import { usePreviewClient } from "../context";
import { isActive, usePreview } from "../usePreview";
import { type Together, togetherOf, type TogetherStore } from "./store";

interface Options {
  client?: PreviewClient | undefined;
}

const NOTHING: Together = { me: null, viewers: [], comments: null, ended: null, problem: null };
const never = (): (() => void) => () => undefined;

/** The people at a generation's newest preview, and their comments. */
export function useTogether(generationId: string, options: Options = {}): Together & { store: TogetherStore | null } {
  const client = usePreviewClient(options.client);
  const { instance } = usePreview(generationId, { client, poll: false });
  const previewId = instance?.id ?? null;
  // Also while it stops: the stream of viewers reports the end, after which a guest gets no other answer.
  const isLive = isActive(instance);
  const store = useMemo(
    () => (previewId === null ? null : togetherOf(client, generationId, previewId)),
    [client, generationId, previewId],
  );
  useEffect(() => store?.open(isLive), [store, isLive]);
  const snapshot = useSyncExternalStore(
    store?.subscribe ?? never,
    () => store?.snapshot ?? NOTHING,
    () => NOTHING,
  );
  // The log may report the end first: then the stream of viewers is closed before it has, and the preview may be gone.
  const [known, setKnown] = useState(previewId);
  if (previewId !== null && previewId !== known) setKnown(previewId);
  const isOver = known !== null && (instance === null || instance.status === "stopped" || instance.status === "failed");
  return { ...snapshot, ended: snapshot.ended ?? (isOver ? "end" : null), store };
}

/** Others who look at a line, request or failure, by its number or id; and the number of comments there. */
export function usePresence(
  generationId: string,
  kind: TargetKind,
  options: Options = {},
): { viewers: ReadonlyMap<string, readonly Viewer[]>; comments: ReadonlyMap<string, number> } {
  const { me, viewers, comments } = useTogether(generationId, options);
  return useMemo(() => {
    const found = new Map<string, Viewer[]>();
    for (const one of viewers)
      if (one.target?.kind === kind && one.id !== me?.id)
        found.set(one.target.id, [...(found.get(one.target.id) ?? []), one]);
    const counts = new Map<string, number>();
    for (const one of comments ?? [])
      if (one.target.kind === kind && !one.resolved) counts.set(one.target.id, (counts.get(one.target.id) ?? 0) + 1);
    return { viewers: found, comments: counts };
  }, [kind, me, viewers, comments]);
}

/** Show others that this person looks at a line, request or failure, while the component lives. */
export function useLooking(store: TogetherStore | null, target: Target | null): void {
  const kind = target?.kind;
  const id = target?.id;
  useEffect(() => {
    if (!store || kind === undefined || id === undefined) return;
    store.look({ kind, id });
    return () => store.look(null);
  }, [store, kind, id]);
}
