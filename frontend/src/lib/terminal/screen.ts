import type { Terminal } from "@xterm/xterm";

import { type Entry, isNote } from "../logs/store";
import type { LogView } from "../logs/view";
import { Following } from "./following";
import { FoundMarks } from "./foundMarks";
import { LineHeads } from "./lineHeads";
import { type Anchor, FRAME_LINES, LineWindow, WINDOW } from "./lineWindow";
import { paint, prefixWidth } from "./paint";
import { ScreenSize } from "./screenSize";
import type { ScreenEvents, ScreenOptions } from "./screenTypes";
import { columnsOf } from "./size";
import { THEMES } from "./themes";
import { bindKeys, openTerminal } from "./xterm";

/** This near to the top, the window moves up. */
const NEAR_ROWS = 40;
/** This near to the newest line, reaching the bottom means to follow again. */
const NEAR_LINES = 500;
const FILL_MS = 1_000;

/**
 * The terminal: shows a window of a view of the log, moves it as one scrolls, and follows the end while one is there.
 *
 * xterm.js holds a few thousand lines whatever the log has; positions are the view's.
 */
export class Screen {
  readonly terminal: Terminal;
  readonly #following: Following;
  readonly #size: ScreenSize;
  readonly #found: FoundMarks;
  readonly #heads: LineHeads;
  readonly #window: LineWindow;
  readonly #host: HTMLElement;
  readonly #events: ScreenEvents;
  #options: ScreenOptions;
  #view: LogView;
  #frame = 0;
  #checkFrame = 0;
  #pattern: RegExp | null = null;
  #current: number | null = null;
  /** A found line is in sight: being at the bottom does not mean to follow. */
  #pinned = false;
  #disposed = false;
  #fill: ReturnType<typeof setTimeout> | undefined;

  constructor(host: HTMLElement, view: LogView, options: ScreenOptions, events: ScreenEvents) {
    this.#host = host;
    this.#events = events;
    this.#options = options;
    this.#view = view;
    const { terminal, fit } = openTerminal(host, options);
    this.terminal = terminal;
    this.#following = new Following(events.onState);
    this.#window = new LineWindow(terminal, (entry) => this.#paint(entry));
    this.#found = new FoundMarks(terminal);
    this.#heads = new LineHeads(host, terminal, {
      columns: () => prefixWidth(this.#options.timestamps),
      entryAt: (below) => this.#view.at(this.#window.at(below)),
      onHover: events.onHover,
      onPick: (entry) => !isNote(entry) && events.onPick(entry.seq),
    });
    bindKeys(terminal, {
      byLines: (lines) => this.#move(() => terminal.scrollLines(lines)),
      byPages: (pages) => this.#move(() => terminal.scrollPages(pages)),
      toStart: () => this.#move(() => this.#goToStart()),
      toEnd: () => this.#move(() => this.follow()),
    });
    terminal.onRender(() => this.#scheduleCheck());
    terminal.onScroll(() => this.#scheduleCheck());
    host.addEventListener("wheel", this.#unpin, { passive: true });
    host.addEventListener("pointerdown", this.#unpin);
    this.#size = new ScreenSize(host, terminal, fit, {
      columns: () => this.#columns(),
      hasLines: () => this.#window.to > this.#window.from,
      onFit: () => this.#following.isOn && terminal.scrollToBottom(),
      onRewrap: () => this.#rewriteHere(),
    });
    this.#size.fitNow();
    this.show(view);
  }

  get view(): LogView {
    return this.#view;
  }

  dispose(): void {
    this.#disposed = true;
    clearTimeout(this.#fill);
    cancelAnimationFrame(this.#frame);
    cancelAnimationFrame(this.#checkFrame);
    this.#size.dispose();
    this.#host.removeEventListener("wheel", this.#unpin);
    this.#host.removeEventListener("pointerdown", this.#unpin);
    this.#heads.dispose();
    this.#window.dispose();
    this.#view.store.hold(false);
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
    if (before.isSpoken !== options.isSpoken) terminal.options.screenReaderMode = options.isSpoken;
    if (before.timestamps !== options.timestamps || before.wrap !== options.wrap || before.line !== options.line)
      this.repaint();
    if (before.theme !== options.theme || before.fontSize !== options.fontSize) this.#size.fitNow();
  }

  /** Write the same lines again, where they are: how they are shown has changed. */
  repaint(): void {
    this.#rewriteHere();
  }

  /** Go to the newest line and stay there. */
  follow(): void {
    this.#hold(true);
    if (this.#view.end - this.#window.to > FRAME_LINES) this.#rewrite(this.#view.end - WINDOW, this.#view.end);
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
    const middle = { position, offset: Math.floor(this.terminal.rows / 2) };
    if (position < this.#window.from || position >= this.#window.to) this.#showAround(middle);
    else this.#window.scrollTo(middle);
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
    if (first === end) this.#hold(true); // cleared
    if (this.#window.isGone(first, end)) {
      // From here on the newest lines, or the oldest.
      if (this.#following.isOn) this.#rewrite(end - WINDOW, end);
      else this.#rewrite(first, first + WINDOW, { position: first, offset: 0 });
      return;
    }
    if (!this.#following.isOn) {
      this.#following.report(this.#view);
      this.#scheduleCheck();
      return;
    }
    if (this.#window.isWriting || this.#window.to === end) return;
    if (end - this.#window.to > WINDOW) this.#rewrite(end - WINDOW, end);
    else this.#window.append(this.#view, () => this.sync());
  }

  /** Write these lines instead of those that are here, with one of them at the given row. */
  #rewrite(from: number, to: number, anchor?: Anchor): void {
    this.#window.move(this.#view, from, to);
    this.#size.fitColumns();
    this.#window.write(this.#view, anchor, () => {
      this.#scheduleCheck();
      this.sync();
    });
  }

  #showAround(anchor: Anchor): void {
    this.#rewrite(anchor.position - WINDOW / 2, anchor.position + WINDOW / 2, anchor);
  }

  /** Write the same lines again, where they are. */
  #rewriteHere(): void {
    const { from, to } = this.#window;
    this.#rewrite(from, to, this.#following.isOn ? undefined : this.#window.anchor());
  }

  #paint(entry: Entry): string {
    const isMarked = !isNote(entry) && this.#events.isMarked(entry);
    const isChosen = !isNote(entry) && entry.seq === this.#options.line;
    return paint(entry, { timestamps: this.#options.timestamps, isMarked, isChosen });
  }

  // Scrolling

  #scheduleCheck(): void {
    this.#checkFrame ||= requestAnimationFrame(() => {
      this.#checkFrame = 0;
      if (!this.#disposed && !this.#window.isWriting) this.#check();
    });
  }

  #check(): void {
    const buffer = this.terminal.buffer.active;
    const isAtBottom = buffer.viewportY >= buffer.baseY;
    if (this.#following.isOn && !isAtBottom) this.#hold(false);
    else if (!this.#following.isOn && isAtBottom && !this.#pinned) this.#reachedBottom();
    if (buffer.viewportY < NEAR_ROWS) this.#nearTop();
    this.#markFound();
  }

  #nearTop(): void {
    if (!this.#following.isOn) {
      if (this.#window.from > this.#view.first) this.#showAround(this.#window.anchor());
      else this.#needOlder();
    } else if (this.#isRoomLeft()) {
      // Lines may be on their way that fill it: what is older is asked for when they have had their time.
      clearTimeout(this.#fill);
      this.#fill = setTimeout(() => this.#following.isOn && this.#isRoomLeft() && this.#needOlder(), FILL_MS);
    }
  }

  #isRoomLeft(): boolean {
    return !this.#disposed && this.#window.from === this.#view.first && this.terminal.buffer.active.baseY === 0;
  }

  #needOlder(): void {
    if (this.#view.store.hasOlder) this.#events.onNeedOlder();
  }

  #markFound(): void {
    const { timestamps, theme } = this.#options;
    if (!this.#pattern) {
      this.#found.clear();
      return;
    }
    const currentBelow = this.#current === null ? null : this.#window.below(this.#current);
    this.#found.show({ pattern: this.#pattern, currentBelow, prefix: prefixWidth(timestamps), theme });
  }

  #reachedBottom(): void {
    const { end } = this.#view;
    if (end - this.#window.to <= NEAR_LINES) this.follow();
    else this.#showAround(this.#window.anchor());
  }

  #hold(isFollowing: boolean): void {
    this.#following.turn(isFollowing, this.#view);
    if (isFollowing) this.#pinned = false;
  }

  #move(act: () => void): void {
    this.#pinned = false;
    act();
  }

  readonly #unpin = (): void => {
    this.#pinned = false;
  };

  #goToStart(): void {
    this.#hold(false);
    const { first } = this.#view;
    if (this.#window.from === first) this.terminal.scrollToTop();
    else this.#rewrite(first, first + WINDOW, { position: first, offset: 0 });
  }

  /** How wide the lines here are; 0 where they are wrapped. */
  #columns(): number {
    const { wrap, timestamps } = this.#options;
    return wrap ? 0 : columnsOf(this.#view.slice(this.#window.from, this.#window.to), timestamps);
  }
}
