import { useEffect, useMemo, useState } from "react";

import type { LogStore } from "../logs/store";
import { Timeline, type TimelineCounts } from "../logs/timeline";
import { type Hiding, isHidden } from "../logs/view";

/** So often at most are lines counted: a person reads no faster. */
const EACH_MS = 500;

/** The lines of a store by level, source and time, while they come; without those that are hidden. */
export function useTimeline(store: LogStore, hiding: Hiding): TimelineCounts {
  const timeline = useMemo(() => new Timeline(store, (line) => isHidden(hiding, line)), [store, hiding]);
  const [value, setValue] = useState(() => timeline.counts());
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = (): void => {
      timer = undefined;
      setValue(timeline.counts());
    };
    look();
    const forget = store.subscribe(() => (timer ??= setTimeout(look, EACH_MS)));
    return () => {
      clearTimeout(timer);
      forget();
    };
  }, [store, timeline]);
  return value;
}
