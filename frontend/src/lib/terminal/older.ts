import type { LogRows } from "../logs/rows";

/** This near to the top, older lines are fetched. */
const NEAR_PX = 800;
const FILL_MS = 1_000;

/** Asks for older lines where the oldest ones here come into sight, once for each oldest line. */
export class Older {
  readonly #host: HTMLElement;
  readonly #onNeed: () => void;
  #askedAt: number | null = null;
  #fill: ReturnType<typeof setTimeout> | undefined;

  constructor(host: HTMLElement, onNeed: () => void) {
    this.#host = host;
    this.#onNeed = onNeed;
  }

  dispose(): void {
    clearTimeout(this.#fill);
  }

  /** Somebody has scrolled: what could not be had before is asked for again. */
  askAgain(): void {
    this.#askedAt = null;
  }

  check(log: LogRows, isFollowing: () => boolean): void {
    const { first } = log;
    if (!log.store.hasOlder || this.#askedAt === first) return;
    if (!isFollowing()) {
      if (this.#host.scrollTop < NEAR_PX) this.#ask(first);
    } else if (this.#isRoomLeft()) {
      // Lines may be on their way that fill it: what is older is asked for when they have had their time.
      clearTimeout(this.#fill);
      this.#fill = setTimeout(() => isFollowing() && this.#isRoomLeft() && this.#ask(first), FILL_MS);
    }
  }

  #isRoomLeft(): boolean {
    return this.#host.clientHeight > 0 && this.#host.scrollHeight <= this.#host.clientHeight;
  }

  #ask(first: number): void {
    this.#askedAt = first;
    this.#onNeed();
  }
}
