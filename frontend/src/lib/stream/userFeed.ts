import type { PreviewClient } from "../api/client";
import { readUserEvents, type UserEvent } from "../api/events";
import { backoffMs } from "./backoff";
import { canShare } from "./shared";

export interface FeedHandlers {
  onEvent: (event: UserEvent) => void;
  /** Whether the events come now; while they do not, the lists have to be asked for. */
  onUp: (isUp: boolean) => void;
}

type Message =
  | { kind: "hello" }
  | { kind: "up"; isUp: boolean; id: string | null }
  | { kind: "event"; event: UserEvent; id: string | null };

const RETRY_MS = 1_000;

/** A person's events, over one connection for all tabs of the browser: the tab with the lock hands them on. */
export class UserFeed {
  readonly #client: PreviewClient;
  readonly #key: string | null;
  readonly #handlers: FeedHandlers;
  readonly #leaving = new AbortController();
  #channel: BroadcastChannel | null = null;
  #isUp = false;
  #isLeader = false;
  #lastId: string | null = null;

  /** The key is the same in all tabs of the same person; null does not share. */
  constructor(client: PreviewClient, key: string | null, handlers: FeedHandlers) {
    this.#client = client;
    this.#key = key;
    this.#handlers = handlers;
  }

  start(): void {
    if (this.#key === null || !canShare()) {
      void this.#lead();
      return;
    }
    const { signal } = this.#leaving;
    this.#channel = new BroadcastChannel(this.#key);
    this.#channel.onmessage = ({ data }: MessageEvent<Message>) => this.#hear(data);
    this.#say({ kind: "hello" });
    navigator.locks.request(this.#key, { signal }, () => this.#lead()).catch(() => undefined);
  }

  stop(): void {
    this.#leaving.abort();
    this.#channel?.close();
  }

  /** Connect until this tab leaves. */
  async #lead(): Promise<void> {
    const { signal } = this.#leaving;
    this.#isLeader = true;
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        await readUserEvents(
          this.#client,
          this.#lastId,
          (event, id) => {
            attempt = 1;
            this.#lastId = id ?? this.#lastId;
            this.#setUp(true);
            this.#handlers.onEvent(event);
            this.#say({ kind: "event", event, id });
          },
          signal,
        );
      } catch {
        // Asking for the lists tells what is wrong.
      }
      if ((signal as { aborted: boolean }).aborted) return;
      this.#setUp(false);
      await new Promise((resolve) => setTimeout(resolve, backoffMs(attempt, RETRY_MS)));
    }
  }

  #hear(message: Message): void {
    if (message.kind === "hello") {
      if (this.#isLeader) this.#say({ kind: "up", isUp: this.#isUp, id: this.#lastId });
      return;
    }
    if (this.#isLeader) return;
    this.#lastId = message.id ?? this.#lastId;
    this.#setUp(message.kind === "event" || message.isUp);
    if (message.kind === "event") this.#handlers.onEvent(message.event);
  }

  #setUp(isUp: boolean): void {
    if (isUp === this.#isUp) return;
    this.#isUp = isUp;
    this.#handlers.onUp(isUp);
    if (this.#isLeader) this.#say({ kind: "up", isUp, id: this.#lastId });
  }

  #say(message: Message): void {
    if (!this.#leaving.signal.aborted) this.#channel?.postMessage(message);
  }
}
