import { useEffect, useRef, useState } from "react";

import type { LogLine } from "../api/types";
import type { LogSession } from "./session";
import { isNote } from "./store";

/** What a line causes, such as a traceback's end or a stored firing, is read a moment after it. */
const SETTLE_MS = 700;

/** A number that grows a moment after new lines came of which one is looked for; `more` makes it grow at once. */
export function useNewLines(session: LogSession, isWanted: (line: LogLine) => boolean): [number, () => void] {
  const [revision, setRevision] = useState(0);
  const seen = useRef(0);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const { store } = session;
    const forget = store.subscribe(() => {
      let isNew = false;
      for (let at = store.end - 1; at >= store.first; at -= 1) {
        const entry = store.at(at);
        if (!entry || entry.seq <= seen.current) break;
        if (!isNote(entry) && isWanted(entry)) isNew = true;
      }
      seen.current = store.lastSeq;
      if (isNew) {
        timer ??= setTimeout(() => {
          timer = undefined;
          setRevision((before) => before + 1);
        }, SETTLE_MS);
      }
    });
    return () => {
      forget();
      clearTimeout(timer);
    };
  }, [session, isWanted]);
  return [revision, () => setRevision((before) => before + 1)];
}
