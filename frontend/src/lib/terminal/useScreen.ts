import { type RefObject, useEffect, useRef, useState } from "react";

import type { LogSession } from "../logs/session";
import { isUnfiltered, type LogView } from "../logs/view";
import type { HoveredLine } from "./lineHeads";
import { Screen } from "./screen";
import type { ScreenOptions, ScreenState } from "./screenTypes";

export interface LineCounts {
  /** Lines that there are: as many as the program has written, or as are here where a filter counts them. */
  all: number;
  /** Lines that pass the filter; null where there is none. */
  shown: number | null;
  /** Health checks that are left out. */
  hidden: number;
  hasCleared: boolean;
}

const NONE: LineCounts = { all: 0, shown: null, hidden: 0, hasCleared: false };

/** How many lines there are and are shown, at most once per frame. */
export function useLineCounts(session: LogSession, view: LogView): LineCounts {
  const [value, setValue] = useState(NONE);
  useEffect(() => {
    let frame = 0;
    const look = (): void => {
      frame = 0;
      const { store } = session;
      view.sync();
      const isFiltered = !isUnfiltered(view.filter);
      const all = isFiltered ? store.lines : store.length === 0 ? 0 : store.lastSeq;
      const next = { all, shown: isFiltered ? view.lines : null, hidden: view.hidden, hasCleared: store.hasCleared };
      setValue((now) => (JSON.stringify(now) === JSON.stringify(next) ? now : next));
    };
    look();
    const forget = session.store.subscribe(() => (frame ||= requestAnimationFrame(look)));
    return () => {
      forget();
      cancelAnimationFrame(frame);
    };
  }, [session, view]);
  return value;
}

export interface ScreenOfHost {
  /** Put it on the element that the terminal fills. */
  host: RefObject<HTMLDivElement | null>;
  screen: Screen | null;
  state: ScreenState;
}

/** A screen in an element: made once per session, told of each change of the view and the options. */
export function useScreen(
  session: LogSession,
  view: LogView,
  options: ScreenOptions,
  onHover: (line: HoveredLine | null) => void,
): ScreenOfHost {
  const host = useRef<HTMLDivElement>(null);
  const [screen, setScreen] = useState<Screen | null>(null);
  const [state, setState] = useState<ScreenState>({ isFollowing: true, newLines: 0 });
  const first = useRef({ view, options });
  useEffect(() => {
    if (!host.current) return;
    const made = new Screen(host.current, first.current.view, first.current.options, {
      onState: (next) =>
        setState((now) => (now.isFollowing === next.isFollowing && now.newLines === next.newLines ? now : next)),
      onNeedOlder: () => void session.loadOlder().then(() => made.sync()),
      onHover,
      isMarked: (line) => session.markOf(line) !== undefined,
    });
    setScreen(made);
    const forget = session.store.subscribe(() => made.sync());
    return () => {
      forget();
      setScreen(null);
      made.dispose();
    };
  }, [session, onHover]);
  useEffect(() => {
    first.current.view = view;
    if (screen && screen.view !== view) screen.show(view);
  }, [screen, view]);
  const { timestamps, wrap, theme, fontSize, isSpoken } = options;
  useEffect(() => {
    first.current.options = { timestamps, wrap, theme, fontSize, isSpoken };
    screen?.setOptions(first.current.options);
  }, [screen, timestamps, wrap, theme, fontSize, isSpoken]);
  return { host, screen, state };
}
