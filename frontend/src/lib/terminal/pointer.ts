import type { Entry } from "../logs/store";
import type { HoveredLine } from "./screenTypes";

interface PointerOptions {
  entryOf: (row: HTMLElement) => Entry | undefined;
  onHover: (line: HoveredLine | null) => void;
  onPick: (entry: Entry) => void;
  /** The head of a stack was clicked. */
  onToggle: (row: HTMLElement) => void;
  onTerm: (term: string) => void;
  /** Show a value as a column, or remove its column. */
  onColumn: (path: string) => void;
  onFile: (path: string, line: number) => void;
}

const PARTS = "[data-fold], [data-json], [data-term], [data-column], [data-file]";

/** Tells which line's head the pointer is on, and what was clicked in a row. */
export class Pointer {
  readonly #host: HTMLElement;
  readonly #options: PointerOptions;
  #hovered: Entry | undefined;

  constructor(host: HTMLElement, options: PointerOptions) {
    this.#host = host;
    this.#options = options;
    host.addEventListener("mousemove", this.#move);
    host.addEventListener("mouseleave", this.#leave);
    host.addEventListener("scroll", this.#leave, { passive: true });
    host.addEventListener("click", this.#click);
  }

  dispose(): void {
    this.#host.removeEventListener("mousemove", this.#move);
    this.#host.removeEventListener("mouseleave", this.#leave);
    this.#host.removeEventListener("scroll", this.#leave);
    this.#host.removeEventListener("click", this.#click);
  }

  #under(event: MouseEvent): Entry | undefined {
    const head = (event.target as Element).closest<HTMLElement>("[data-head]");
    return head?.parentElement ? this.#options.entryOf(head.parentElement) : undefined;
  }

  readonly #click = (event: MouseEvent): void => {
    const button = (event.target as Element).closest<HTMLElement>(PARTS);
    const row = button?.closest<HTMLElement>("[data-position]");
    if (button && row) {
      const { file, at, term, column } = button.dataset;
      if (column !== undefined) this.#options.onColumn(column);
      else if (term !== undefined) this.#options.onTerm(term);
      else if (file === undefined) this.#options.onToggle(row);
      else this.#options.onFile(file, Number(at));
      return;
    }
    const entry = this.#under(event);
    if (entry && getSelection()?.isCollapsed !== false) this.#options.onPick(entry);
  };

  readonly #move = (event: MouseEvent): void => {
    const entry = this.#under(event);
    if (entry === this.#hovered) return;
    this.#hovered = entry;
    this.#options.onHover(entry ? { entry, x: event.clientX, y: event.clientY } : null);
  };

  readonly #leave = (): void => {
    if (this.#hovered === undefined) return;
    this.#hovered = undefined;
    this.#options.onHover(null);
  };
}
