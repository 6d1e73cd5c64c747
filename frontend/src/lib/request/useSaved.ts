import type { PreviewClient } from "../api/client";
import { asProblem } from "../api/problem";
import { deleteStored, listStored, storeRequest, type StoredRequest } from "../api/saved";
import { useLoad } from "../ui/useLoad";
import type { Draft } from "./draft";
import { isDraft, loadSaved, savable, type SavedRequest, storeSaved, withSaved } from "./saved";

/** A saved request, wherever it is kept. */
export interface Kept extends SavedRequest {
  /** Null for one that only this browser has. */
  id: string | null;
}

export interface Saved {
  list: readonly Kept[] | null;
  /** Whether the service keeps them. Another application's generations are saved in the browser. */
  isShared: boolean;
  /** Requests that an earlier page has left in this browser. */
  inBrowser: readonly SavedRequest[];
  problem: string | null;
  save: (name: string, draft: Draft) => Promise<void>;
  remove: (one: Kept) => Promise<void>;
  /** Give the service what this browser has. */
  move: () => Promise<number>;
}

/** The saved requests of a generation. */
export function useSaved(client: PreviewClient, generationId: string): Saved {
  const found = useLoad(generationId, async (signal) => {
    try {
      return { isShared: true, list: (await listStored(client, generationId, signal)).flatMap(keptOf) };
    } catch (error) {
      const { code, status } = asProblem(error);
      // The generation belongs to another application, or the service is older than this page.
      if (code !== "generation_read_only" && status !== 404 && status !== 405) throw error;
      return { isShared: false, list: loadSaved(generationId).map((one): Kept => ({ ...one, id: null })) };
    }
  });
  const isShared = found.value?.isShared ?? true;
  const inBrowser = isShared ? loadSaved(generationId) : [];
  const save = async (name: string, draft: Draft): Promise<void> => {
    if (isShared) await storeRequest(client, generationId, bodyOf(savable(name, draft)));
    else storeSaved(generationId, withSaved(loadSaved(generationId), name, draft));
    found.refresh();
  };
  const remove = async (one: Kept): Promise<void> => {
    if (one.id !== null) await deleteStored(client, generationId, one.id);
    else
      storeSaved(
        generationId,
        loadSaved(generationId).filter((other) => other.name !== one.name),
      );
    found.refresh();
  };
  const move = async (): Promise<number> => {
    const all = loadSaved(generationId);
    for (const one of all) await storeRequest(client, generationId, bodyOf(one));
    storeSaved(generationId, []);
    found.refresh();
    return all.length;
  };
  return {
    list: found.value?.list ?? null,
    isShared,
    inBrowser,
    problem: found.problem?.message ?? null,
    save,
    remove,
    move,
  };
}

function bodyOf({ name, draft }: SavedRequest): Pick<StoredRequest, "name" | "method" | "path" | "more"> {
  return { name, method: draft.method, path: draft.path || "/", more: { draft } };
}

/** The request as the page edits it; another client may have saved method and path alone. */
function keptOf({ id, name, method, path, more }: StoredRequest): Kept[] {
  const draft = isDraft(more["draft"])
    ? more["draft"]
    : { method, path, pathFields: [], query: [], headers: [], body: "" };
  return [{ id, name, draft: { ...draft, method, path } }];
}
