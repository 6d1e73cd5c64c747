import { type RefObject, useEffect, useRef, useState } from "react";

import type { LogSession } from "../logs/session";
import type { LogRows } from "../logs/rows";
import { EVERYTHING, isUnfiltered, LogView } from "../logs/view";
import { notesIn } from "./notes";
import { Screen } from "./screen";
import type { HoveredLine, ScreenOptions, ScreenState } from "./screenTypes";

export interface LineCounts {
  /** Lines that there are: as many as the program has written, or as are here where a filter counts them; without hidden ones. */
  all: number;
  /** Lines that pass the filter; null where there is none. */
  shown: number | null;
  /** Whether older lines that the service has may pass too. */
  isMore: boolean;
  /** Health checks that are left out. */
  hidden: number;
  hasCleared: boolean;
}

const NONE: LineCounts = { all: 0, shown: null, isMore: false, hidden: 0, hasCleared: false };

/** How many lines there are and are shown, at most once per frame. `passing` has those that pass the terms of a filter. */
export function useLineCounts(session: LogSession, passing: LogSession, view: LogView): LineCounts {
  const [value, setValue] = useState(NONE);
  useEffect(() => {
    let frame = 0;
    // The view has what passes the terms; hidden lines of all others count as little.
    const { hidesChecks = false, without = null, isOwn } = view.filter;
    const hiding = { hidesChecks, without, ...(isOwn && { isOwn }) };
    const whole = passing === session ? view : new LogView(session.store, { ...EVERYTHING, ...hiding });
    const look = (): void => {
      frame = 0;
      const { store } = session;
      view.sync();
      const hasTerms = passing !== session;
      const isFiltered = !isUnfiltered(view.filter) || hasTerms;
      whole.sync();
      const all = isFiltered && !hasTerms ? store.lines : store.length === 0 ? 0 : store.lastSeq;
      const next = {
        all: Math.max(0, all - whole.hidden),
        shown: isFiltered ? view.lines : null,
        isMore: hasTerms && passing.store.hasOlder,
        hidden: view.hidden,
        hasCleared: store.hasCleared,
      };
      setValue((now) => (JSON.stringify(now) === JSON.stringify(next) ? now : next));
    };
    look();
    const again = (): number => (frame ||= requestAnimationFrame(look));
    const forget = [session.store.subscribe(again), passing.store.subscribe(again)];
    return () => {
      for (const one of forget) one();
      cancelAnimationFrame(frame);
    };
  }, [session, passing, view]);
  return value;
}

export interface ScreenOfHost {
  /** Put it on the element that the terminal fills. */
  host: RefObject<HTMLDivElement | null>;
  screen: Screen | null;
  state: ScreenState;
}

interface ScreenParts {
  session: LogSession;
  /** The session whose lines are shown: another one with a filter. */
  passing: LogSession;
  rows: LogRows;
  options: ScreenOptions;
  onHover: (line: HoveredLine | null) => void;
  onPick: (seq: number) => void;
  onFile: ((path: string, line: number) => void) | undefined;
  onTerm: (term: string) => void;
  onColumn: (path: string) => void;
  /** Words for lines with a mark of their own, by number. */
  lineMarks?: ReadonlyMap<number, string> | undefined;
}

const NO_MARKS: ReadonlyMap<number, string> = new Map();

/** A screen in an element: made once per session, told of each change of the view and the options. */
export function useScreen(parts: ScreenParts): ScreenOfHost {
  const { session, passing, rows, options, onHover, onPick, onFile, onTerm, onColumn, lineMarks = NO_MARKS } = parts;
  const host = useRef<HTMLDivElement>(null);
  const [screen, setScreen] = useState<Screen | null>(null);
  const [state, setState] = useState<ScreenState>({ isFollowing: true, newLines: 0 });
  const first = useRef({ rows, options, passing, onFile, onTerm, lineMarks });
  useEffect(() => {
    if (!host.current) return;
    const made = new Screen(host.current, first.current.rows, first.current.options, {
      onState: (next) =>
        setState((now) => (now.isFollowing === next.isFollowing && now.newLines === next.newLines ? now : next)),
      onNeedOlder: () => void first.current.passing.loadOlder().then(() => made.sync()),
      onHover,
      onPick,
      onFile: (path, at) => first.current.onFile?.(path, at),
      onTerm: (term) => first.current.onTerm(term),
      onColumn,
      noteOf: (from, to) => notesIn(first.current.lineMarks, from, to),
      isMarked: (line) => session.markOf(line) !== undefined,
    });
    setScreen(made);
    return () => {
      setScreen(null);
      made.dispose();
    };
  }, [session, onHover, onPick, onColumn]);
  useEffect(() => {
    first.current = { ...first.current, rows, passing, onFile, onTerm };
    if (screen && screen.log !== rows) screen.show(rows);
    return screen ? passing.store.subscribe(() => screen.sync()) : undefined;
  }, [screen, rows, passing, onFile, onTerm]);
  useEffect(() => {
    const before = first.current.lineMarks;
    first.current.lineMarks = lineMarks;
    const all = new Set([...before.keys(), ...lineMarks.keys()]);
    screen?.redraw([...all].filter((seq) => before.get(seq) !== lineMarks.get(seq)));
  }, [screen, lineMarks]);
  const { timestamps, wrap, theme, fontSize, line, canOpenFiles, columns, t } = options;
  useEffect(() => {
    first.current.options = { timestamps, wrap, theme, fontSize, line, canOpenFiles, columns, t };
    screen?.setOptions(first.current.options);
  }, [screen, timestamps, wrap, theme, fontSize, line, canOpenFiles, columns, t]);
  return { host, screen, state };
}
