import { FitAddon } from "@xterm/addon-fit";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { type IDecoration, type IDisposable, Terminal } from "@xterm/xterm";

import { type Entry, isNote } from "../logs/store";
import { plain } from "../logs/text";
import type { LogView } from "../logs/view";
import { paint, prefixWidth } from "./paint";
import { lastRow, linesBelow, lineText, rowOf, startOf } from "./rows";
import { openStrictly, strictDocument } from "./strictDocument";
import { FOUND, type Theme, THEMES } from "./themes";

export interface ScreenOptions {
  timestamps: boolean;
  wrap: boolean;
  theme: Theme;
  fontSize: number;
}

export interface ScreenState {
  isFollowing: boolean;
  /** Lines that have come since one looked away from the end. */
  newLines: number;
}

export interface HoveredLine {
  entry: Entry;
  x: number;
  y: number;
}

export interface ScreenEvents {
  onState: (state: ScreenState) => void;
  /** The oldest line here is in sight. */
  onNeedOlder: () => void;
  /** The pointer is on a line's timestamp or gutter. */
  onHover: (line: HoveredLine | null) => void;
  isMarked: (seq: number) => boolean;
}

/** Lines written to the terminal at a time; the rest of the view is a scroll away. */
const WINDOW = 3_000;
/** Written in one frame at most; more than a window behind, it jumps. */
const FRAME_LINES = 1_000;
/** Rows kept by xterm.js: a window whose lines wrap into four rows each. */
const SCROLLBACK = 12_000;
/** This near to the top, the window moves up. */
const NEAR_ROWS = 40;
/** This near to the newest line, reaching the bottom means to follow again. */
const NEAR_LINES = 500;
const MAX_COLUMNS = 500;
/** A window that is being dragged is not written anew at each step. */
const REWRAP_MS = 80;
const FONT =
  'ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';

/**
 * The terminal: shows a window of a view of the log, moves it as one scrolls, and follows the end while one is there.
 *
 * xterm.js holds a few thousand lines whatever the log has; positions are the view's.
 */
export class Screen {
  readonly terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #host: HTMLElement;
  readonly #events: ScreenEvents;
  #options: ScreenOptions;
  #view: LogView;
  #from = 0;
  #to = 0;
  #following = true;
  #seenEnd = 0;
  #writing = false;
  #frame = 0;
  #checkFrame = 0;
  #pattern: RegExp | null = null;
  #current: number | null = null;
  /** A found line is in sight: being at the bottom does not mean to follow. */
  #pinned = false;
  #decorations: (IDecoration | IDisposable)[] = [];
  #disposed = false;
  #hovered: Entry | null = null;
  #rewrap: ReturnType<typeof setTimeout> | undefined;
  readonly #resize: ResizeObserver;

  constructor(host: HTMLElement, view: LogView, options: ScreenOptions, events: ScreenEvents) {
    this.#host = host;
    this.#events = events;
    this.#options = options;
    this.#view = view;
    this.terminal = new Terminal({
      allowProposedApi: true,
      documentOverride: strictDocument(document),
      convertEol: false,
      cursorBlink: false,
      cursorInactiveStyle: "none",
      disableStdin: true,
      fontFamily: FONT,
      fontSize: options.fontSize,
      lineHeight: 1.25,
      minimumContrastRatio: 4.5,
      scrollback: SCROLLBACK,
      scrollOnUserInput: false,
      smoothScrollDuration: 0,
      theme: THEMES[options.theme],
    });
    this.terminal.loadAddon(this.#fit);
    this.terminal.loadAddon(new WebLinksAddon((_, address) => window.open(address, "_blank", "noopener,noreferrer")));
    openStrictly(this.terminal, host);
    this.terminal.write("\u001b[?25l");
    this.terminal.attachCustomKeyEventHandler((event) => this.#key(event));
    this.terminal.onRender(() => this.#scheduleCheck());
    this.terminal.onScroll(() => this.#scheduleCheck());
    host.addEventListener("wheel", this.#unpin, { passive: true });
    host.addEventListener("pointerdown", this.#unpin);
    host.addEventListener("mousemove", this.#hover);
    host.addEventListener("mouseleave", this.#unhover);
    this.#resize = new ResizeObserver(() => this.#fitNow());
    this.#resize.observe(host);
    this.#fitNow();
    this.show(view);
  }

  get view(): LogView {
    return this.#view;
  }

  dispose(): void {
    this.#disposed = true;
    clearTimeout(this.#rewrap);
    cancelAnimationFrame(this.#frame);
    cancelAnimationFrame(this.#checkFrame);
    this.#resize.disconnect();
    this.#host.removeEventListener("wheel", this.#unpin);
    this.#host.removeEventListener("pointerdown", this.#unpin);
    this.#host.removeEventListener("mousemove", this.#hover);
    this.#host.removeEventListener("mouseleave", this.#unhover);
    this.terminal.dispose();
  }

  /** Show another view, from its end. */
  show(view: LogView): void {
    this.#view = view;
    this.#hold(true);
    this.#rewrite(view.end - WINDOW, view.end);
  }

  /** Take over what the view has got. Cheap: the work is done once per frame. */
  sync(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#advance();
    });
  }

  setOptions(options: ScreenOptions): void {
    const before = this.#options;
    this.#options = options;
    const { terminal } = this;
    if (before.theme !== options.theme) terminal.options.theme = THEMES[options.theme];
    if (before.fontSize !== options.fontSize) terminal.options.fontSize = options.fontSize;
    if (before.timestamps !== options.timestamps || before.wrap !== options.wrap) this.repaint();
    if (before.theme !== options.theme || before.fontSize !== options.fontSize) this.#fitNow();
  }

  /** Write the same lines again, where they are: how they are shown has changed. */
  repaint(): void {
    const anchor = this.#anchor();
    this.#fitNow();
    this.#rewrite(this.#from, this.#to, this.#following ? undefined : anchor);
  }

  /** Go to the newest line and stay there. */
  follow(): void {
    this.#hold(true);
    if (this.#view.end - this.#to > FRAME_LINES) this.#rewrite(this.#view.end - WINDOW, this.#view.end);
    else {
      this.terminal.scrollToBottom();
      this.sync();
    }
  }

  /** Bring a line into sight, and mark what was found there. */
  reveal(position: number): void {
    this.#hold(false);
    this.#pinned = true;
    this.#current = position;
    if (position < this.#from || position >= this.#to) {
      this.#rewrite(position - WINDOW / 2, position + WINDOW / 2, { position, offset: this.#middle() });
      return;
    }
    const row = rowOf(this.terminal.buffer.active, this.#to - 1 - position);
    if (row !== null) this.terminal.scrollToLine(Math.max(0, row - this.#middle()));
    this.#scheduleCheck();
  }

  /** Mark all that matches; null marks nothing. */
  mark(pattern: RegExp | null): void {
    this.#pattern = pattern;
    if (!pattern) {
      this.#current = null;
      this.#pinned = false;
    }
    this.#scheduleCheck();
  }

  // Writing

  #advance(): void {
    if (this.#disposed) return;
    this.#view.sync();
    const { first, end } = this.#view;
    if (this.#to > end || this.#to < first) {
      this.#rewrite(end - WINDOW, end); // cleared, or trimmed beyond what is shown
      return;
    }
    if (!this.#following) {
      this.#report();
      this.#scheduleCheck();
      return;
    }
    if (this.#writing || this.#to === end) return;
    if (end - this.#to > WINDOW) {
      this.#rewrite(end - WINDOW, end);
      return;
    }
    const to = Math.min(end, this.#to + FRAME_LINES);
    const text = this.#text(this.#to, to, this.#from === this.#to);
    this.#to = to;
    this.#write(text, () => this.sync());
  }

  /** Empty the terminal and write these lines, with one of them at the given row. */
  #rewrite(from: number, to: number, anchor?: { position: number; offset: number }): void {
    const { first, end } = this.#view;
    this.#from = Math.max(first, Math.min(from, end - WINDOW));
    this.#to = Math.min(end, Math.max(to, this.#from));
    this.#fitColumns();
    const text = `\u001b[?2026h\u001b[0m\u001b[H\u001b[2J\u001b[3J${this.#text(this.#from, this.#to, true)}`;
    this.#write(text, () => {
      const buffer = this.terminal.buffer.active;
      const row = anchor && rowOf(buffer, this.#to - 1 - anchor.position);
      if (anchor && typeof row === "number") this.terminal.scrollToLine(Math.max(0, row - anchor.offset));
      else this.terminal.scrollToBottom();
      this.terminal.write("\u001b[?2026l", () => this.#scheduleCheck());
      this.sync();
    });
  }

  #write(text: string, done: () => void): void {
    this.#writing = true;
    this.terminal.write(text, () => {
      if (this.#disposed) return;
      this.#writing = false;
      done();
    });
  }

  #text(from: number, to: number, isFirst: boolean): string {
    const { timestamps } = this.#options;
    let text = "";
    for (const entry of this.#view.slice(from, to)) {
      const isMarked = !isNote(entry) && this.#events.isMarked(entry.seq);
      text += `${isFirst ? "" : "\r\n"}${paint(entry, { timestamps, isMarked })}`;
      isFirst = false;
    }
    return text;
  }

  // Scrolling

  #scheduleCheck(): void {
    this.#checkFrame ||= requestAnimationFrame(() => {
      this.#checkFrame = 0;
      if (!this.#disposed && !this.#writing) this.#check();
    });
  }

  #check(): void {
    const buffer = this.terminal.buffer.active;
    const isAtBottom = buffer.viewportY >= buffer.baseY;
    const { first } = this.#view;
    if (this.#following && !isAtBottom) this.#hold(false);
    else if (!this.#following && isAtBottom && !this.#pinned) this.#reachedBottom();
    const isNearTop = buffer.viewportY < NEAR_ROWS;
    if (isNearTop && this.#from > first && !this.#following) {
      const anchor = this.#anchor();
      this.#rewrite(anchor.position - WINDOW / 2, anchor.position + WINDOW / 2, anchor);
    } else if (isNearTop && this.#from === first && (!this.#following || buffer.baseY === 0)) {
      if (this.#view.store.hasOlder) this.#events.onNeedOlder();
    }
    this.#decorate();
  }

  #reachedBottom(): void {
    const { end } = this.#view;
    if (end - this.#to <= NEAR_LINES) {
      this.follow();
      return;
    }
    const anchor = this.#anchor();
    this.#rewrite(anchor.position - WINDOW / 2, anchor.position + WINDOW / 2, anchor);
  }

  /** The line at the top of the screen. */
  #anchor(): { position: number; offset: number } {
    const buffer = this.terminal.buffer.active;
    const start = startOf(buffer, buffer.viewportY);
    return { position: this.#to - 1 - linesBelow(buffer, start), offset: start - buffer.viewportY };
  }

  #middle(): number {
    return Math.floor(this.terminal.rows / 2);
  }

  #hold(isFollowing: boolean): void {
    if (isFollowing !== this.#following) this.#seenEnd = this.#view.end;
    this.#following = isFollowing;
    if (isFollowing) this.#pinned = false;
    this.#report();
  }

  #report(): void {
    const newLines = this.#following ? 0 : Math.max(0, this.#view.end - this.#seenEnd);
    this.#events.onState({ isFollowing: this.#following, newLines });
  }

  #key(event: KeyboardEvent): boolean {
    if (event.type !== "keydown") return true;
    const { terminal } = this;
    const pages: Record<string, () => void> = {
      ArrowUp: () => terminal.scrollLines(-1),
      ArrowDown: () => terminal.scrollLines(1),
      PageUp: () => terminal.scrollPages(-1),
      PageDown: () => terminal.scrollPages(1),
      Home: () => this.#goToStart(),
      End: () => this.follow(),
    };
    const act = pages[event.key];
    // Nothing is typed into a log; what is not a way to move (Tab, shortcuts) is the browser's.
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return false;
    this.#pinned = false;
    act();
    event.preventDefault();
    return false;
  }

  readonly #unpin = (): void => {
    this.#pinned = false;
  };

  #goToStart(): void {
    this.#hold(false);
    const { first } = this.#view;
    if (this.#from === first) this.terminal.scrollToTop();
    else this.#rewrite(first, first + WINDOW, { position: first, offset: 0 });
  }

  // Size

  #fitNow(): void {
    if (this.#host.clientWidth === 0 || this.#host.clientHeight === 0) return;
    const before = this.terminal.cols;
    if (this.#options.wrap) this.#fit.fit();
    else this.#fitColumns();
    // xterm.js does not wrap the last line anew; written again, all of them are whole.
    if (this.terminal.cols !== before && this.#to > this.#from) this.#rewrapSoon();
    if (this.#following) this.terminal.scrollToBottom();
  }

  #rewrapSoon(): void {
    clearTimeout(this.#rewrap);
    this.#rewrap = setTimeout(() => {
      if (!this.#disposed) this.#rewrite(this.#from, this.#to, this.#following ? undefined : this.#anchor());
    }, REWRAP_MS);
  }

  /** Without wrapping, as many columns as the longest line needs; the host scrolls sideways. */
  #fitColumns(): void {
    const proposed = this.#fit.proposeDimensions();
    if (!proposed || Number.isNaN(proposed.cols)) return;
    let columns = proposed.cols;
    if (!this.#options.wrap) {
      const prefix = prefixWidth(this.#options.timestamps);
      for (const entry of this.#view.slice(this.#from, this.#to)) {
        if (!isNote(entry)) columns = Math.max(columns, plain(entry.message).length + prefix);
      }
      columns = Math.min(columns, MAX_COLUMNS);
    }
    if (columns !== this.terminal.cols || proposed.rows !== this.terminal.rows) {
      this.terminal.resize(columns, proposed.rows);
    }
  }

  // Found text

  #decorate(): void {
    for (const one of this.#decorations) one.dispose();
    this.#decorations = [];
    const pattern = this.#pattern;
    if (!pattern) return;
    const buffer = this.terminal.buffer.active;
    const colours = FOUND[this.#options.theme];
    const prefix = prefixWidth(this.#options.timestamps);
    const cursor = lastRow(buffer);
    const bottom = Math.min(cursor, buffer.viewportY + this.terminal.rows - 1);
    let row = startOf(buffer, buffer.viewportY);
    while (row <= bottom) {
      const { text, cells } = lineText(buffer, row);
      const isCurrent = this.#current !== null && this.#to - 1 - linesBelow(buffer, row) === this.#current;
      for (const match of text.slice(prefix).matchAll(pattern)) {
        if (match[0].length === 0) break;
        const start = cells[match.index + prefix];
        const end = cells[match.index + prefix + match[0].length];
        if (start && end) this.#highlight(start, end, cursor, isCurrent ? colours.current : colours.every);
      }
      row = (cells.at(-1)?.row ?? row) + 1;
    }
  }

  #highlight(
    start: { row: number; column: number },
    end: { row: number; column: number },
    cursor: number,
    colour: string,
  ): void {
    for (let row = start.row; row <= end.row; row += 1) {
      const x = row === start.row ? start.column : 0;
      const width = (row === end.row ? end.column : this.terminal.cols) - x;
      if (width <= 0) continue;
      const marker = this.terminal.registerMarker(row - cursor);
      const decoration = this.terminal.registerDecoration({ marker, x, width, backgroundColor: colour, layer: "top" });
      this.#decorations.push(marker);
      if (decoration) this.#decorations.push(decoration);
    }
  }

  // The pointer on a line's head

  readonly #hover = (event: MouseEvent): void => {
    const rows = this.#host.querySelector(".xterm-screen");
    if (!rows) return;
    const box = rows.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.terminal.cols);
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.terminal.rows);
    const entry = column >= 0 && column < prefixWidth(this.#options.timestamps) ? this.#entryAt(row) : null;
    if (entry === this.#hovered) return;
    this.#hovered = entry;
    this.#events.onHover(entry && { entry, x: event.clientX, y: event.clientY });
  };

  readonly #unhover = (): void => {
    this.#hovered = null;
    this.#events.onHover(null);
  };

  #entryAt(screenRow: number): Entry | null {
    const buffer = this.terminal.buffer.active;
    const row = buffer.viewportY + screenRow;
    if (row > lastRow(buffer)) return null;
    return this.#view.at(this.#to - 1 - linesBelow(buffer, startOf(buffer, row))) ?? null;
  }
}
