import { useEffect, useRef, useState } from "react";

import type { LogSession } from "../logs/session";
import type { LogView } from "../logs/view";
import type { Screen } from "./screen";

/** Pages of older lines that are fetched to get to a line. */
const MOST_PAGES = 30;

interface RevealParts {
  session: LogSession;
  /** The session whose lines are shown. */
  passing: LogSession;
  view: LogView;
  screen: Screen | null;
  /** A line to begin with. */
  line: number | null;
  isFiltered: boolean;
  onUnfilter: () => void;
}

/** Shows the line that somebody elsewhere on the page asks for, without the filter where that leaves it out. */
export function useReveal(parts: RevealParts): void {
  const { session, passing, view, screen, isFiltered } = parts;
  const [wanted, setWanted] = useState<{ seq: number } | null>(parts.line === null ? null : { seq: parts.line });
  const done = useRef<{ seq: number } | null>(null);
  const pages = useRef(0);
  const unfilter = useRef(parts.onUnfilter);
  // The lines of the first moment come after the page.
  const [version, setVersion] = useState(0);
  useEffect(() => {
    unfilter.current = parts.onUnfilter;
  });
  useEffect(
    () =>
      session.onReveal((seq) => {
        pages.current = 0;
        setWanted({ seq });
      }),
    [session],
  );
  useEffect(() => {
    if (!wanted || done.current === wanted) return;
    return passing.store.subscribe(() => {
      if (done.current !== wanted) setVersion(passing.store.version);
    });
  }, [passing, wanted]);
  useEffect(() => {
    if (!screen || !wanted || done.current === wanted) return;
    view.sync();
    const { store } = passing;
    if (store.lastSeq === 0 || (store.lastSeq < wanted.seq && version === 0)) return;
    const position = view.positionOf(wanted.seq);
    const isHere = view.at(position)?.seq === wanted.seq;
    if (!isHere && wanted.seq < store.firstSeq && store.hasOlder && pages.current < MOST_PAGES) {
      pages.current += 1;
      void passing.loadOlder();
      return;
    }
    if (!isHere && isFiltered) {
      unfilter.current();
      return;
    }
    done.current = wanted;
    if (view.first === view.end) return;
    // The log may have been out of sight until now: it gets its size first.
    const frame = requestAnimationFrame(() => screen.revealLine(Math.min(position, view.end - 1)));
    return () => cancelAnimationFrame(frame);
  }, [wanted, view, screen, passing, isFiltered, version]);
}
