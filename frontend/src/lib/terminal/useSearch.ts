import { useCallback, useEffect, useMemo, useRef, useState } from "react";

import { compileQuery, findLines, MAX_MATCHES, type SearchQuery } from "../logs/search";
import type { Around, LogView } from "../logs/view";
import type { Screen } from "./screen";

export interface Search extends Pick<Wanted, "query" | "setQuery" | "around" | "setAround"> {
  error: string | null;
  total: number;
  isMore: boolean;
  /** Index of the match in sight; -1 for none. */
  index: number;
  go: (step: 1 | -1) => void;
}

const TYPING_MS = 120;
const SETTLED_MS = 300;
const NOTHING: SearchQuery = { text: "", regex: false, matchCase: false };

/** What is searched for, and whether only lines that have it are shown. */
export interface Wanted {
  query: SearchQuery;
  setQuery: (query: SearchQuery) => void;
  /** How many lines around each match are shown; null shows all lines. */
  around: number | null;
  setAround: (lines: number | null) => void;
  /** What the view is limited to; it changes when typing has come to rest. */
  limit: Around | null;
}

export function useWanted(isOpen: boolean): Wanted {
  const [query, setQuery] = useState(NOTHING);
  const [around, setAround] = useState<number | null>(null);
  const [settled, setSettled] = useState(NOTHING);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(query), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [query]);
  const limit = useMemo(() => {
    const pattern = isOpen && around !== null ? compileQuery(settled) : null;
    return pattern instanceof RegExp ? { pattern, lines: around ?? 0 } : null;
  }, [settled, around, isOpen]);
  return { query, setQuery, around, setAround, limit };
}

/** Finds lines in all of a view, not only in what is on the screen, and steps through them. */
export function useSearch(view: LogView, screen: Screen | null, isOpen: boolean, wanted: Wanted): Search {
  const { query, setQuery, around, setAround } = wanted;
  const [found, setFound] = useState<readonly number[]>([]);
  const [index, setIndex] = useState(-1);
  const compiled = useMemo(() => (isOpen ? compileQuery(query) : null), [query, isOpen]);
  const pattern = compiled instanceof RegExp ? compiled : null;
  const searchedTo = useRef(0);
  // The step that was asked for before the first look through the log ended.
  const due = useRef<1 | -1 | null>(null);

  useEffect(() => {
    screen?.mark(pattern);
  }, [screen, pattern]);

  useEffect(() => {
    setFound([]);
    setIndex(-1);
    if (!pattern) return;
    const stopping = new AbortController();
    let frame = 0;
    let isSearching = false;
    const look = async (from: number): Promise<void> => {
      isSearching = true;
      view.sync();
      const to = view.end;
      const more = await findLines(view, pattern, { from, to }, stopping.signal);
      isSearching = false;
      if (stopping.signal.aborted) return;
      searchedTo.current = to;
      if (more.length === 0) due.current = null;
      if (more.length > 0) setFound((before) => [...before, ...more].slice(-MAX_MATCHES));
    };
    const timer = setTimeout(() => void look(view.first), TYPING_MS);
    // Lines that come are looked through as they come.
    const forget = view.store.subscribe(() => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        if (!isSearching && searchedTo.current > 0) void look(searchedTo.current);
      });
    });
    searchedTo.current = 0;
    due.current = null;
    return () => {
      stopping.abort();
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      forget();
    };
  }, [view, pattern]);

  const go = useCallback(
    (step: 1 | -1) => {
      const alive = found.filter((position) => position >= view.first);
      if (alive.length === 0) {
        if (pattern && searchedTo.current === 0) due.current = step;
        return;
      }
      const fromHere = nearest(alive, screen?.topLine ?? view.first, step);
      const next = index === -1 ? fromHere : (index + step + alive.length) % alive.length;
      setIndex(next);
      const position = alive[next];
      if (position !== undefined) screen?.revealLine(position);
    },
    [found, index, screen, view, pattern],
  );
  useEffect(() => {
    const step = due.current;
    if (step === null || found.length === 0) return;
    due.current = null;
    go(step);
  }, [found, go]);
  const error = compiled && !(compiled instanceof RegExp) ? compiled.error : null;
  return {
    query,
    setQuery,
    around,
    setAround,
    error,
    total: found.length,
    isMore: found.length >= MAX_MATCHES,
    index,
    go,
  };
}

/** Index of the first match from the top of what is in sight, in the direction of the step; around the ends. */
export function nearest(found: readonly number[], top: number, step: 1 | -1): number {
  if (step === -1) {
    const before = found.findLastIndex((position) => position < top);
    return before === -1 ? found.length - 1 : before;
  }
  const next = found.findIndex((position) => position >= top);
  return next === -1 ? 0 : next;
}
