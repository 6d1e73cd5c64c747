import { useCallback, useEffect, useRef, useState } from "react";

import { restoreVersion } from "../lib/api/history";
import type { PreviewClient } from "../lib/api/client";
import { listRemoved, type RemovedProject, restoreRemoved } from "../lib/api/projects";
import type { Problem } from "../lib/api/problem";
import { asProblem } from "../lib/api/problem";
import type { PreviewPeople, UserEvent } from "../lib/api/events";
import type { FilesChanged, Generation, PreviewInstance } from "../lib/api/types";
import { UserFeed } from "../lib/stream/userFeed";
import { visible } from "../lib/ui/visible";
import type { Picked } from "./folder";
import { inOrder } from "./order";
import { wantsNotifications } from "./useNotifications";

/** A generation in the list, with its newest preview. */
export interface Project {
  id: string;
  name: string;
  createdAt: string | null;
  /** The group that the person has put it in; none if it is empty. */
  group?: string;
  /** Address of the repository that it was imported from; none if it is empty. */
  origin?: string;
  preview: PreviewInstance | null;
  /** The state that is shown for it elsewhere on the page, which is newer than the list's. */
  shownState?: string;
}

export interface Projects {
  list: readonly Project[] | null;
  problem: Problem | null;
  /** Whether the service does not answer: what was known of previews may not be so any more. */
  isLost: boolean;
  /** Whether this service takes uploads; one with generations of its own does not. */
  takesUploads: boolean;
  /** Comments of guests that the person has not read, by generation; those without any are left out. */
  unread: ReadonlyMap<string, number>;
  refresh: () => Promise<void>;
  upload: (picked: Picked) => Promise<string>;
  /** Replace all files; a dry run only tells what would change. */
  replace: (id: string, picked: Picked, isDry?: boolean) => Promise<FilesChanged>;
  /** Make the files those of an earlier version. */
  restore: (id: string, version: number) => Promise<FilesChanged>;
  /** The project that was removed last, while that can be undone. */
  removed: RemovedProject | null;
  remove: (id: string) => Promise<void>;
  /** Restore the removed project. */
  undoRemoval: () => Promise<void>;
  forgetRemoval: () => void;
}

/** The lists are asked for so often while no events come. */
const EACH_MS = 5_000;

/** What the service has said of the person's generations, null if a host keeps them, and of their previews. */
interface Known {
  generations: readonly Pick<Generation, "id" | "name" | "created_at" | "group" | "origin">[] | null;
  previews: readonly PreviewInstance[];
}

/** The person's generations and what runs of them, kept up to date by events. */
export function useProjects(client: PreviewClient, userId: string, onSignedOut: () => void): Projects {
  const [list, setList] = useState<readonly Project[] | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [takesUploads, setTakesUploads] = useState(true);

  const [unread, setUnread] = useState<ReadonlyMap<string, number>>(new Map());

  const known = useRef<Known>({ generations: null, previews: [] });
  const shown = useRef<readonly Project[]>([]);
  const asked = useRef(0);
  const answered = useRef(0);
  const wasLost = useRef(false);

  const show = useCallback(
    (now: Known): void => {
      known.current = now;
      const found = projectsOf(now.generations, now.previews);
      tellChanges(client, shown.current, found, wasLost.current);
      shown.current = found;
      wasLost.current = false;
      setList(found);
      setProblem(null);
    },
    [client],
  );

  const refresh = useCallback(async () => {
    const mine = (asked.current += 1);
    try {
      const [previews, generations] = await Promise.all([
        client.previews(),
        client.generations().catch((error: unknown) => {
          if (asProblem(error).status === 404) return null;
          throw error;
        }),
      ]);
      // An answer that is older than the one that is shown would take a new project away again.
      if (mine < answered.current) return;
      answered.current = mine;
      setTakesUploads(generations !== null);
      show({ generations, previews });
    } catch (error) {
      const found = asProblem(error);
      if (found.status === 401) {
        onSignedOut();
        return;
      }
      if (found.isTemporary && !wasLost.current) {
        // The other parts of the page look for themselves, so that all say the same.
        wasLost.current = true;
        for (const one of shown.current) if (isOn(one.preview)) client.noteChange(one.id);
      }
      setProblem(found);
    }
  }, [client, onSignedOut, show]);

  const isFed = useFeed(client, userId, refresh, (event) => {
    if (event.kind === "start") setUnread(unreadOf(new Map(), event.items));
    else if (event.kind === "viewers") setUnread((before) => unreadOf(before, [event.people]));
    else {
      if (event.kind === "preview") client.noteLaunched(event.preview.generation_id);
      show(after(known.current, event));
    }
  });

  useEffect(() => {
    const look = (): void => {
      if (document.visibilityState === "visible" || wantsNotifications()) void refresh();
    };
    look();
    if (isFed) return;
    const timer = setInterval(look, EACH_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [refresh, isFed]);

  const upload = useCallback(
    async (picked: Picked) => {
      const made =
        picked.kind === "archive"
          ? await client.uploadArchive(picked.name, picked.archive)
          : await client.uploadFiles(picked.name, picked.files);
      await refresh();
      return made.id;
    },
    [client, refresh],
  );
  const replace = useCallback(
    (id: string, picked: Picked, isDry = false) =>
      picked.kind === "archive"
        ? client.replaceByArchive(id, picked.archive, isDry)
        : client.replaceFiles(id, picked.files, isDry),
    [client],
  );
  const restore = useCallback((id: string, version: number) => restoreVersion(client, id, version), [client]);
  const [removed, setRemoved] = useState<RemovedProject | null>(null);
  const remove = useCallback(
    async (id: string) => {
      await client.deleteGeneration(id);
      const kept = await listRemoved(client).catch(() => []);
      setRemoved(kept.find((one) => one.id === id) ?? null);
      await refresh();
    },
    [client, refresh],
  );
  const undoRemoval = useCallback(async () => {
    if (removed) await restoreRemoved(client, removed.id);
    setRemoved(null);
    await refresh();
  }, [client, refresh, removed]);
  const forgetRemoval = useCallback(() => setRemoved(null), []);
  return {
    list,
    problem,
    isLost: problem?.isTemporary ?? false,
    takesUploads,
    unread,
    refresh,
    upload,
    replace,
    restore,
    removed,
    remove,
    undoRemoval,
    forgetRemoval,
  };
}

/** Whether events come. The lists are asked for again where events may have been missed. */
function useFeed(
  client: PreviewClient,
  userId: string,
  refresh: () => Promise<void>,
  onEvent: (event: UserEvent) => void,
): boolean {
  const [isFed, setFed] = useState(false);
  const take = useRef(onEvent);
  useEffect(() => {
    take.current = onEvent;
  });
  useEffect(() => {
    const feed = new UserFeed(client, userId === "" ? null : `preview:events:${userId}`, {
      onUp: setFed,
      onEvent: (event) => {
        if (event.kind === "start" && !event.resumed) void refresh();
        take.current(event);
      },
    });
    feed.start();
    return () => {
      feed.stop();
      setFed(false);
    };
  }, [client, userId, refresh]);
  return isFed;
}

/** What is known after an event. */
export function after(before: Known, event: UserEvent): Known {
  if (event.kind === "preview") {
    const others = before.previews.filter((one) => one.id !== event.preview.id);
    // Newest first, as the service lists them.
    const previews = [event.preview, ...others].sort((a, b) => b.created_at.localeCompare(a.created_at));
    return { ...before, previews };
  }
  if (before.generations === null) return before;
  if (event.kind === "generation") {
    const others = before.generations.filter((one) => one.id !== event.generation.id);
    return { ...before, generations: [...others, event.generation] };
  }
  if (event.kind === "removed")
    return { ...before, generations: before.generations.filter((one) => one.id !== event.generationId) };
  return before;
}

function unreadOf(before: ReadonlyMap<string, number>, people: readonly PreviewPeople[]): ReadonlyMap<string, number> {
  const found = new Map(before);
  for (const { generation_id: id, unread } of people) {
    if (unread > 0) found.set(id, unread);
    else found.delete(id);
  }
  return found;
}

/** Tell the other parts of the page which previews have changed elsewhere, and all when the service is back. */
function tellChanges(
  client: PreviewClient,
  before: readonly Project[],
  now: readonly Project[],
  isBack: boolean,
): void {
  const known = new Map(before.map((one) => [one.id, one.preview]));
  for (const { id, preview } of now) {
    const last = known.get(id);
    if (isBack && preview !== null) client.noteBack(id);
    else if (known.has(id) && preview !== null && last?.id !== preview.id) client.noteBack(id);
    else if (known.has(id) && last?.status !== preview?.status) client.noteChange(id);
  }
}

/** Generations with their newest preview; where a host keeps the generations, those that have had a preview. */
export function projectsOf(
  generations: readonly Pick<Generation, "id" | "name" | "created_at" | "group" | "origin">[] | null,
  previews: readonly PreviewInstance[],
): Project[] {
  const newest = new Map<string, PreviewInstance>();
  for (const one of previews) if (!newest.has(one.generation_id)) newest.set(one.generation_id, one);
  const known = (generations ?? []).map((one) => ({
    id: one.id,
    name: visible(one.name || one.id),
    createdAt: one.created_at,
    group: visible(one.group ?? ""),
    origin: one.origin ?? "",
    preview: newest.get(one.id) ?? null,
  }));
  const ids = new Set(known.map((one) => one.id));
  // Of a generation that was removed, the previews are remembered a while; only one that runs is still a matter.
  const others = [...newest.values()].filter(
    (one) => !ids.has(one.generation_id) && (generations === null || isOn(one)),
  );
  const all = [
    ...known,
    ...others.map((one) => ({
      id: one.generation_id,
      name: one.generation_id,
      createdAt: one.created_at,
      preview: one,
    })),
  ];
  return inOrder(all);
}

/** Whether a preview holds a place. */
export function isOn(preview: PreviewInstance | null): boolean {
  return preview !== null && ["starting", "running", "stopping"].includes(preview.status);
}
