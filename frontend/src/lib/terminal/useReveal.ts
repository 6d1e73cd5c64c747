import { useEffect, useRef, useState } from "react";

import type { LogSession } from "../logs/session";
import { isUnfiltered, type LogView } from "../logs/view";
import type { Screen } from "./screen";

/** Shows the line that somebody elsewhere on the page asks for, without the filter where that leaves it out. */
export function useReveal(session: LogSession, view: LogView, screen: Screen | null, onUnfilter: () => void): void {
  const [wanted, setWanted] = useState<{ seq: number } | null>(null);
  const done = useRef<{ seq: number } | null>(null);
  const unfilter = useRef(onUnfilter);
  useEffect(() => {
    unfilter.current = onUnfilter;
  });
  useEffect(() => session.onReveal((seq) => setWanted({ seq })), [session]);
  useEffect(() => {
    if (!screen || !wanted || done.current === wanted) return;
    view.sync();
    const position = view.positionOf(wanted.seq);
    if (view.at(position)?.seq !== wanted.seq && !isUnfiltered(view.filter)) {
      unfilter.current();
      return;
    }
    done.current = wanted;
    if (view.first === view.end) return;
    // The log may have been out of sight until now: it gets its size first.
    const frame = requestAnimationFrame(() => screen.reveal(Math.min(position, view.end - 1)));
    return () => cancelAnimationFrame(frame);
  }, [wanted, view, screen]);
}
