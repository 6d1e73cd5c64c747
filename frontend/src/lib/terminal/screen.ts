import type { LogRows } from "../logs/rows";
import { isNote } from "../logs/store";
import { Following } from "./following";
import { Heights } from "./heights";
import { lineElement } from "./lineElement";
import { Older } from "./older";
import { Pointer } from "./pointer";
import type { ScreenEvents, ScreenOptions } from "./screenTypes";
import { ShownRows } from "./shownRows";

/** Rows beyond the edges of what is in sight. */
const MORE_PX = 400;
/** Heights are known after rows are in the page: so many times the range is looked at again. */
const MOST_PASSES = 5;
/** Rows in the page at once, whatever their heights are. */
const MOST_ROWS = 400;
const LINE_HEIGHT = 1.5;

/**
 * The list of a log: the rows in sight of a view, in an element that the browser scrolls.
 *
 * Invariant: while one reads, `#anchor` (a line and its distance from the top edge) stays where it is, whatever comes
 * below, is dropped above, or turns out to be higher than was thought. While one follows, the end is in sight.
 */
export class Screen {
  readonly host: HTMLElement;
  readonly #rows: ShownRows;
  readonly #events: ScreenEvents;
  readonly #following: Following;
  readonly #heights: Heights;
  readonly #pointer: Pointer;
  readonly #older: Older;
  readonly #observer: ResizeObserver;
  #options: ScreenOptions;
  #log: LogRows;
  #anchor = { position: 0, px: 0 };
  #pattern: RegExp | null = null;
  /** JSON lines whose values are shown. */
  readonly #opened = new Set<number>();
  #current: number | null = null;
  /** A found line is in sight: being at the bottom does not mean to follow. */
  #pinned = false;
  #frame = 0;
  #setTop = 0;
  #width = 0;

  constructor(host: HTMLElement, log: LogRows, options: ScreenOptions, events: ScreenEvents) {
    this.host = host;
    this.#events = events;
    this.#options = options;
    this.#log = log;
    this.#following = new Following(events.onState);
    this.#heights = new Heights(Math.round(options.fontSize * LINE_HEIGHT));
    this.#rows = new ShownRows((position) => this.#rowOf(position));
    host.replaceChildren(this.#rows.element);
    this.#pointer = new Pointer(host, {
      ...events,
      entryOf: (row) => this.#entryOf(row),
      onPick: (entry) => !isNote(entry) && events.onPick(entry.seq),
      onToggle: (row) => this.toggle(Number(row.dataset["position"])),
    });
    this.#older = new Older(host, events.onNeedOlder);
    host.addEventListener("scroll", this.#scrolled, { passive: true });
    host.addEventListener("wheel", this.#wheel, { passive: true });
    host.addEventListener("pointerdown", this.#unpin, { passive: true });
    host.addEventListener("keydown", this.#key);
    this.#observer = new ResizeObserver(() => this.#resized());
    this.#observer.observe(host);
    this.#applyOptions();
    this.show(log);
  }

  get log(): LogRows {
    return this.#log;
  }

  dispose(): void {
    this.#older.dispose();
    cancelAnimationFrame(this.#frame);
    this.#observer.disconnect();
    this.#pointer.dispose();
    this.host.removeEventListener("scroll", this.#scrolled);
    this.host.removeEventListener("wheel", this.#wheel);
    this.host.removeEventListener("pointerdown", this.#unpin);
    this.host.removeEventListener("keydown", this.#key);
    this.#log.store.hold(false);
    this.host.replaceChildren();
  }

  focus(): void {
    this.host.focus({ preventScroll: true });
  }

  /** The text that is selected in the list; empty for none. */
  selected(): string {
    const selection = getSelection();
    return selection?.anchorNode && this.host.contains(selection.anchorNode) ? selection.toString() : "";
  }

  /** Show another view, from its end. */
  show(log: LogRows): void {
    this.#log = log;
    this.#heights.clear();
    this.#rows.clear();
    this.#hold(true);
    this.#render();
  }

  /** Take over what the view has got. Cheap: the work is done once per frame. */
  sync(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  setOptions(options: ScreenOptions): void {
    this.#options = options;
    this.#applyOptions();
    this.refresh();
  }

  /** Make the rows again, where they are: how they are shown has changed. */
  refresh(): void {
    this.#heights.clear();
    this.#rows.clear();
    this.#render();
  }

  /** Make the rows of these lines again: their marks have changed. */
  redraw(seqs: readonly number[]): void {
    for (const seq of seqs) this.#rows.drop(this.#log.rowOfSeq(seq));
    if (seqs.length > 0) this.sync();
  }

  /** Go to the newest line and stay there. */
  follow(): void {
    this.#hold(true);
    this.#render();
  }

  /** The row at the top edge of what is in sight. */
  get top(): number {
    return this.#following.isOn
      ? this.#heights.at(this.#log.first, this.#log.end, this.host.scrollTop)
      : this.#anchor.position;
  }

  /** The view's position of the line at the top edge. */
  get topLine(): number {
    return this.#log.positionAt(this.top);
  }

  /** The row that one looks at: the one that was found, else the one at the top edge. */
  get here(): number {
    return this.#pinned && this.#current !== null ? this.#current : this.top;
  }

  /** Bring a row into sight, and mark what was found there. */
  reveal(position: number): void {
    this.#hold(false);
    this.#pinned = true;
    this.#current = position;
    this.#anchor = { position, px: Math.floor(this.host.clientHeight / 2) };
    this.#rows.clear();
    this.#render();
  }

  /** Bring a line into sight, by its position in the view; the stack around it is opened. */
  revealLine(position: number): void {
    this.#log.sync();
    this.reveal(this.#log.uncover(position));
  }

  /** Open or close the stack of a row, which stays where it is. */
  toggle(position: number): void {
    const px = this.#heights.offset(this.#log.first, position) - this.host.scrollTop;
    const hasFocus = this.#rows.get(position)?.contains(document.activeElement) ?? false;
    const isOpen = this.#log.toggle(position) ?? this.#toggleValues(position);
    if (isOpen) this.#hold(false);
    if (!this.#following.isOn) this.#anchor = { position, px };
    this.#render();
    if (hasFocus) this.#rows.get(position)?.querySelector<HTMLElement>("button")?.focus({ preventScroll: true });
  }

  /** Show or hide the values of a JSON line; returns whether they are shown. */
  #toggleValues(position: number): boolean {
    const seq = this.#log.at(position)?.seq ?? 0;
    const isOpen = !this.#opened.delete(seq);
    if (isOpen) this.#opened.add(seq);
    this.#rows.drop(position);
    return isOpen;
  }

  /** Fold all stacks, or open all. */
  foldAll(isFolding: boolean): void {
    this.#log.foldAll(isFolding);
    this.sync();
  }

  /** Mark all that matches; null marks nothing. */
  mark(pattern: RegExp | null): void {
    if (pattern === this.#pattern) return;
    this.#pattern = pattern;
    if (!pattern) {
      this.#current = null;
      this.#pinned = false;
    }
    this.#rows.clear();
    this.#render();
  }

  // Rows

  #render(): void {
    const log = this.#log;
    this.#takeChanges();
    const { first, end } = log;
    if (this.host.clientHeight === 0) return;
    if (first === end) {
      this.#rows.clear();
      this.#heights.clear();
      this.#rows.place(0, () => 0);
      this.#hold(true);
      return;
    }
    this.#heights.forgetBefore(first);
    if (this.#anchor.position < first || this.#anchor.position >= end)
      this.#anchor = { position: Math.min(Math.max(first, this.#anchor.position), end - 1), px: 0 };
    for (let pass = 0; pass < MOST_PASSES; pass += 1) if (!this.#pass(first, end)) break;
    this.#place(first, end);
    this.#following.report(log);
    this.#older.check(log, () => this.#following.isOn);
  }

  /** Rows that have moved are made again; what is looked at is found again by its number. */
  #takeChanges(): void {
    const log = this.#log;
    const [anchor, current] = [this.#anchor.position, this.#current].map((at) => (at === null ? null : log.at(at)));
    log.sync();
    const { rows, hasMoved } = log.takeChanges();
    for (const position of rows) this.#rows.drop(position);
    if (!hasMoved) return;
    if (anchor) this.#anchor.position = log.rowOfSeq(anchor.seq);
    if (current) this.#current = log.rowOfSeq(current.seq);
    this.#heights.clear();
    this.#rows.clear();
  }

  /** Put the rows in sight into the page and measure them; whether heights are others than was thought. */
  #pass(first: number, end: number): boolean {
    const { clientHeight } = this.host;
    const total = this.#heights.offset(first, end);
    const top = this.#following.isOn
      ? total - clientHeight
      : this.#heights.offset(first, this.#anchor.position) - this.#anchor.px;
    const from = this.#heights.at(first, end, Math.max(0, top - MORE_PX));
    const to = Math.min(this.#heights.at(first, end, top + clientHeight + MORE_PX) + 1, from + MOST_ROWS);
    const made = this.#rows.put(from, to);
    let isChanged = false;
    for (const [position, row] of made)
      if (this.#heights.set(position, row.getBoundingClientRect().height)) isChanged = true;
    return isChanged;
  }

  #place(first: number, end: number): void {
    const total = this.#heights.offset(first, end);
    this.#rows.place(total, (position) => this.#heights.offset(first, position));
    const wanted = this.#following.isOn
      ? this.host.scrollHeight - this.host.clientHeight
      : this.#heights.offset(first, this.#anchor.position) - this.#anchor.px;
    if (Math.abs(this.host.scrollTop - wanted) > 0.5) this.host.scrollTop = wanted;
    this.#setTop = this.host.scrollTop;
  }

  #rowOf(position: number): HTMLElement | undefined {
    const entry = this.#log.at(position);
    if (!entry) return undefined;
    const row = lineElement(this.#options.t, entry, {
      theme: this.#options.theme,
      pattern: this.#pattern,
      isMarked: !isNote(entry) && this.#events.isMarked(entry),
      isChosen: !isNote(entry) && entry.seq === this.#options.line,
      isCurrent: position === this.#current,
      head: this.#log.headOf(position),
      frame: this.#log.frameOf(position),
      canOpen: this.#options.canOpenFiles,
      isOpen: this.#opened.has(entry.seq),
      columns: this.#options.columns,
      note: isNote(entry) ? undefined : this.#events.noteOf(entry.seq, this.#log.lastSeqOf(position)),
    });
    row.dataset["position"] = String(position);
    return row;
  }

  #entryOf(row: HTMLElement) {
    return this.#log.at(Number(row.dataset["position"]));
  }

  #applyOptions(): void {
    const { wrap, timestamps, fontSize } = this.#options;
    this.#heights.rowPx = Math.round(fontSize * LINE_HEIGHT);
    this.host.dataset["wrap"] = String(wrap);
    this.host.dataset["timestamps"] = String(timestamps);
    this.host.style.setProperty("--log-font", `${fontSize}px`);
    this.host.style.setProperty("--log-row", `${this.#heights.rowPx}px`);
  }

  // Scrolling

  readonly #scrolled = (): void => {
    const { scrollTop, clientHeight, scrollHeight } = this.host;
    if (Math.abs(scrollTop - this.#setTop) < 1) return;
    const isUp = scrollTop < this.#setTop;
    this.#setTop = scrollTop;
    const isAtBottom = scrollTop + clientHeight >= scrollHeight - 2;
    if (this.#following.isOn && !isUp) return;
    this.#hold(isAtBottom && !this.#pinned);
    this.#anchorHere();
    this.#older.askAgain();
    this.sync();
  };

  #anchorHere(): void {
    const { first, end } = this.#log;
    const { scrollTop } = this.host;
    const position = this.#heights.at(first, end, scrollTop);
    this.#anchor = { position, px: this.#heights.offset(first, position) - scrollTop };
  }

  /** Stay where one is, from before the browser starts to scroll up. */
  #letGo(): void {
    if (!this.#following.isOn || this.host.scrollHeight <= this.host.clientHeight) return;
    this.#anchorHere();
    this.#hold(false);
  }

  readonly #wheel = (event: WheelEvent): void => {
    this.#pinned = false;
    if (event.deltaY < 0) this.#letGo();
  };

  readonly #unpin = (): void => {
    this.#pinned = false;
  };

  readonly #key = (event: KeyboardEvent): void => {
    if (event.target !== this.host || event.ctrlKey || event.metaKey || event.altKey) return;
    const { clientHeight } = this.host;
    const row = this.#heights.rowPx;
    const by: Record<string, number> = {
      ArrowUp: -row,
      ArrowDown: row,
      PageUp: row - clientHeight,
      PageDown: clientHeight - row,
    };
    const px = by[event.key];
    if (px !== undefined) this.#scrollBy(px);
    else if (event.key === "Home" || event.key === "g") this.toStart();
    else if (event.key === "End" || event.key === "G") {
      this.#pinned = false;
      this.follow();
    } else if (event.key === "Enter" && this.#current !== null) this.toggle(this.#current);
    else return;
    event.preventDefault();
  };

  #scrollBy(px: number): void {
    this.#pinned = false;
    if (px < 0) this.#letGo();
    this.host.scrollTop += px;
  }

  /** Go to the oldest line that is here; what is older is fetched. */
  toStart(): void {
    this.#pinned = false;
    this.#hold(false);
    this.#anchor = { position: this.#log.first, px: 0 };
    this.#older.askAgain();
    this.#render();
  }

  #resized(): void {
    const { clientWidth } = this.host;
    if (clientWidth === this.#width) this.sync();
    else {
      this.#width = clientWidth;
      this.#heights.clear();
      this.#rows.clear();
      this.#render();
    }
  }

  #hold(isFollowing: boolean): void {
    this.#following.turn(isFollowing, this.#log);
    if (isFollowing) this.#pinned = false;
  }
}
