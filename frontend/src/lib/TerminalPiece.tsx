import { type ComponentType, lazy, type ReactNode, Suspense, useEffect, useMemo, useRef } from "react";

import type { LogLine, StatusEvent } from "./api/types";
import { isNote } from "./logs/store";
import { EVERYTHING, LogView } from "./logs/view";
import type { PreviewTerminalProps as WholeProps } from "./terminal/PreviewTerminal";
import { useTranslate } from "./texts/translate";
import { classes } from "./ui/controls";
import styles from "./ui/loading.module.css";
import tokens from "./ui/tokens.module.css";
import { useLogSession, useLogSnapshot } from "./usePreviewLogs";

export interface PreviewTerminalProps extends WholeProps {
  /** Called for each line, once and in order; first for those that are there already. */
  onLine?: (line: LogLine) => void;
  /** Called with each change of the preview's state or health. */
  onStatus?: (status: StatusEvent) => void;
}

const Whole = lazy(async (): Promise<{ default: ComponentType<WholeProps> }> => {
  return { default: (await import("./terminal/PreviewTerminal")).PreviewTerminal };
});

/** The log of a generation's preview as a terminal, fetched when it is first shown. It fills its parent, which needs a height. */
export function PreviewTerminal({ onLine, onStatus, ...props }: PreviewTerminalProps): ReactNode {
  const t = useTranslate();
  const waiting = (
    <div className={classes(tokens.root, props.className)} style={props.style}>
      <p className={styles.loading}>{props.texts?.loading ?? props.texts?.["Loading…"] ?? t("Loading…")}</p>
    </div>
  );
  return (
    <>
      {(onLine ?? onStatus) && (
        <Events
          generationId={props.generationId}
          {...(props.client && { client: props.client })}
          {...(onLine && { onLine })}
          {...(onStatus && { onStatus })}
        />
      )}
      <Suspense fallback={waiting}>
        <Whole {...props} />
      </Suspense>
    </>
  );
}

/** Tells of lines and states; shows nothing. It shares the terminal's connection. */
function Events(props: Pick<PreviewTerminalProps, "generationId" | "client" | "onLine" | "onStatus">): null {
  const session = useLogSession(props.generationId, { client: props.client });
  const { status } = useLogSnapshot(session);
  const calls = useRef(props);
  useEffect(() => {
    calls.current = props;
  });
  const { store } = session;
  const view = useMemo(() => new LogView(store, EVERYTHING), [store]);
  const last = useRef({ previewId: "", seq: 0 });
  useEffect(() => {
    const take = (): void => {
      view.sync();
      const previewId = session.snapshot.previewId ?? "";
      if (previewId !== last.current.previewId) last.current = { previewId, seq: 0 };
      let from = view.end;
      // Backwards from the newest: most calls have a few new lines.
      while (from > view.first && isNew(view, from - 1, last.current.seq)) from -= 1;
      for (const entry of view.slice(from, view.end)) {
        if (isNote(entry)) continue;
        last.current.seq = Math.max(last.current.seq, entry.seq);
        calls.current.onLine?.(entry);
      }
    };
    take();
    return store.subscribe(take);
  }, [session, store, view]);
  useEffect(() => {
    if (status) calls.current.onStatus?.(status);
  }, [status]);
  return null;
}

function isNew(view: LogView, at: number, seq: number): boolean {
  const [entry] = view.slice(at, at + 1);
  return entry !== undefined && (isNote(entry) || entry.seq > seq);
}
