import type { PreviewClient } from "../api/client";
import { asProblem, type Problem } from "../api/problem";
import {
  changeMe,
  type Comment,
  listComments,
  type Me,
  openViewers,
  type Target,
  type Viewer,
  whoAmI,
} from "../api/together";
import { backoffMs } from "../stream/backoff";
import { readEventStream } from "../stream/sse";

/** Why the stream of a preview has ended for good. */
export type Ended = "removed" | "expired" | "end";

export interface Together {
  me: Me | null;
  viewers: readonly Viewer[];
  /** Oldest first; null until they are read. */
  comments: readonly Comment[] | null;
  ended: Ended | null;
  problem: Problem | null;
}

const NOBODY: Together = { me: null, viewers: [], comments: null, ended: null, problem: null };
const RETRY_MS = 1_000;
/** Pause after a refusal that may end, such as a preview that is not there yet. */
const REFUSED_MS = 30_000;
/** A position is sent so often at most. */
const LOOK_MS = 300;

/** The people at one preview and their comments, shared by all components that show them. */
export class TogetherStore {
  readonly previewId: string;
  readonly #client: PreviewClient;
  readonly #generationId: string;
  readonly #listeners = new Set<() => void>();
  #snapshot: Together = NOBODY;
  #leaving: AbortController | null = null;
  #users = 0;
  #wanted: Target | null = null;
  #sent: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(client: PreviewClient, generationId: string, previewId: string) {
    this.#client = client;
    this.#generationId = generationId;
    this.previewId = previewId;
  }

  get snapshot(): Together {
    return this.#snapshot;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Connect while somebody uses it. A preview that is over has comments, but nobody to watch. */
  open(isLive: boolean): () => void {
    this.#users += 1;
    if (this.#users === 1) {
      this.#leaving = new AbortController();
      void this.#follow(isLive, this.#leaving.signal);
    }
    let isOpen = true;
    return () => {
      if (!isOpen) return;
      isOpen = false;
      this.#users -= 1;
      if (this.#users > 0) return;
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#sent = null;
      this.#leaving?.abort();
    };
  }

  /** Show others what this person looks at. */
  look(target: Target | null): void {
    this.#wanted = target;
    this.#timer ??= setTimeout(() => void this.#sendLook(), LOOK_MS);
  }

  put(comment: Comment): void {
    const known = this.#snapshot.comments ?? [];
    const isKnown = known.some((one) => one.id === comment.id);
    this.#set({
      comments: isKnown ? known.map((one) => (one.id === comment.id ? comment : one)) : [...known, comment],
    });
  }

  drop(id: string): void {
    this.#set({ comments: this.#snapshot.comments?.filter((one) => one.id !== id) ?? null });
  }

  #set(change: Partial<Together>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of this.#listeners) listener();
  }

  async #sendLook(): Promise<void> {
    this.#timer = undefined;
    const text = JSON.stringify(this.#wanted);
    if (this.#snapshot.me === null || this.#snapshot.ended !== null || text === (this.#sent ?? "null")) return;
    this.#sent = text;
    // A position that is lost is of no importance; the next one is sent again.
    await changeMe(this.#client, this.#generationId, { target: this.#wanted }).catch(() => (this.#sent = null));
  }

  async #read(signal: AbortSignal): Promise<void> {
    const comments = await listComments(this.#client, this.#generationId, this.previewId, signal);
    if (!signal.aborted) this.#set({ comments, problem: null });
  }

  async #follow(isLive: boolean, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted && this.#snapshot.ended === null; attempt += 1) {
      let isRefused = false;
      try {
        if (!isLive) {
          await this.#read(signal);
          return;
        }
        const me = await whoAmI(this.#client, this.#generationId, signal);
        const response = await openViewers(this.#client, this.#generationId, signal);
        this.#set({ me, problem: null });
        await this.#read(signal);
        if (this.#wanted) this.look(this.#wanted);
        if (response.body)
          await readEventStream(
            response.body,
            {
              onEvent: (event) => {
                attempt = 1;
                this.#take(event.event ?? "message", event.data, signal);
              },
            },
            signal,
          );
      } catch (error) {
        if ((signal as { aborted: boolean }).aborted) return;
        const problem = asProblem(error);
        const reason = problem.details.reason;
        if (problem.status === 401 && (reason === "removed" || reason === "share"))
          this.#set({ ended: reason === "removed" ? "removed" : "expired", viewers: [] });
        // It was live when this page opened: its stream broke just before it could report the end.
        else if (problem.code === "no_active_preview") {
          this.#set({ ended: "end", viewers: [] });
          await this.#read(signal).catch(() => undefined);
        } else this.#set({ problem });
        isRefused = !problem.isTemporary;
      }
      this.#sent = null;
      await new Promise((resolve) => setTimeout(resolve, isRefused ? REFUSED_MS : backoffMs(attempt, RETRY_MS)));
    }
  }

  #take(name: string, text: string, signal: AbortSignal): void {
    const data = JSON.parse(text) as unknown;
    if (name === "viewers") this.#set({ viewers: (data as { items: Viewer[] }).items });
    else if (name === "comment") this.put(data as Comment);
    else if (name === "comment_removed") this.drop((data as { id: string }).id);
    else if (name === "reload") void this.#read(signal).catch(() => undefined);
    else if (name === "removed" || name === "expired" || name === "end") this.#set({ ended: name, viewers: [] });
  }
}

const stores = new WeakMap<PreviewClient, Map<string, TogetherStore>>();
const MOST_STORES = 20;

/** The store of a preview; the same one for the same client. */
export function togetherOf(client: PreviewClient, generationId: string, previewId: string): TogetherStore {
  const mine = stores.get(client) ?? new Map<string, TogetherStore>();
  stores.set(client, mine);
  const found = mine.get(previewId) ?? new TogetherStore(client, generationId, previewId);
  mine.delete(previewId);
  mine.set(previewId, found);
  const oldest = mine.keys().next().value;
  if (mine.size > MOST_STORES && oldest !== undefined) mine.delete(oldest);
  return found;
}
