import type { FitAddon } from "@xterm/addon-fit";
import type { Terminal } from "@xterm/xterm";

import { resize } from "./size";

/** A window that is being dragged is not written again at each step. */
const REWRAP_MS = 80;

export interface SizeOwner {
  /** The columns that the lines need; 0 for as many as there is room for. */
  columns: () => number;
  hasLines: () => boolean;
  /** The terminal fills its element. */
  onFit: () => void;
  /** The lines are to be written again: their width has changed. */
  onRewrap: () => void;
}

/** Keeps the terminal as large as its element. */
export class ScreenSize {
  readonly #host: HTMLElement;
  readonly #terminal: Terminal;
  readonly #fit: FitAddon;
  readonly #owner: SizeOwner;
  readonly #observer: ResizeObserver;
  #rewrap: ReturnType<typeof setTimeout> | undefined;

  constructor(host: HTMLElement, terminal: Terminal, fit: FitAddon, owner: SizeOwner) {
    this.#host = host;
    this.#terminal = terminal;
    this.#fit = fit;
    this.#owner = owner;
    this.#observer = new ResizeObserver(() => this.fitNow());
    this.#observer.observe(host);
  }

  dispose(): void {
    clearTimeout(this.#rewrap);
    this.#observer.disconnect();
  }

  fitNow(): void {
    if (this.#host.clientWidth === 0 || this.#host.clientHeight === 0) return;
    const before = this.#terminal.cols;
    this.fitColumns();
    // xterm.js does not wrap the last line again; written again, all of them are whole.
    if (this.#terminal.cols !== before && this.#owner.hasLines()) this.#rewrapSoon();
    this.#owner.onFit();
  }

  /** As wide as the lines are now. */
  fitColumns(): void {
    resize(this.#terminal, this.#fit, this.#owner.columns());
  }

  #rewrapSoon(): void {
    clearTimeout(this.#rewrap);
    this.#rewrap = setTimeout(() => this.#owner.onRewrap(), REWRAP_MS);
  }
}
