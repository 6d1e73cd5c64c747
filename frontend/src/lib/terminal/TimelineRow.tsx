import { type KeyboardEvent, type PointerEvent, type ReactNode, useRef, useState } from "react";

import type { Bucket } from "../logs/timeline";
import { useTranslate, type Translate } from "../texts/translate";
import { count } from "../ui/format";
import { Button } from "../ui/controls";
import { useTexts } from "./texts";
import styles from "./timeline.module.css";

interface TimelineRowProps {
  buckets: readonly Bucket[];
  /** Whether the service has lines that are not here. */
  isMore: boolean;
  /** Whether a range of time is chosen. */
  isNarrow: boolean;
  onRange: (fromMs: number, toMs: number) => void;
  onWhole: () => void;
}

/** The lines that are loaded, over time and by severity. A click, a drag or Enter narrows the log to a range. */
export function TimelineRow(props: TimelineRowProps): ReactNode {
  const t = useTranslate();
  const { buckets, isMore, isNarrow, onRange, onWhole } = props;
  const texts = useTexts();
  const [at, setAt] = useState(0);
  const [dragged, setDragged] = useState<number | null>(null);
  const list = useRef<HTMLDivElement>(null);
  const highest = Math.max(1, ...buckets.map((one) => one.lines));
  const chosen = Math.min(at, Math.max(0, buckets.length - 1));
  const choose = (from: number, to: number): void => {
    const [first, last] = [buckets[Math.min(from, to)], buckets[Math.max(from, to)]];
    if (first && last) onRange(first.fromMs, last.toMs);
  };
  const indexOf = (target: EventTarget | null): number | null => {
    const index = (target as Element | null)?.closest<HTMLElement>("[data-at]")?.dataset["at"];
    return index === undefined ? null : Number(index);
  };
  const under = (event: PointerEvent): number | null =>
    indexOf(document.elementFromPoint(event.clientX, event.clientY));
  const key = (event: KeyboardEvent): void => {
    const last = buckets.length - 1;
    const to = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = Math.min(last, Math.max(0, to));
    setAt(next);
    list.current?.querySelector<HTMLElement>(`[data-at="${next}"]`)?.focus();
  };
  return (
    <div className={styles.row}>
      <div
        ref={list}
        className={styles.bars}
        role="group"
        aria-label={isMore ? texts.timelineOfLoaded : texts.timelineOfAll}
        onKeyDown={key}
        onPointerDown={(event) => setDragged(indexOf(event.target))}
        onPointerUp={(event) => {
          const to = under(event);
          if (dragged !== null && to !== null && to !== dragged) choose(dragged, to);
          setDragged(null);
        }}
      >
        {buckets.map((one, index) => (
          <button
            key={one.fromMs}
            type="button"
            className={styles.bucket}
            data-at={index}
            tabIndex={index === chosen ? 0 : -1}
            aria-label={wordsOf(t, one)}
            title={wordsOf(t, one)}
            onFocus={() => setAt(index)}
            onClick={() => choose(index, index)}
          >
            <span className={styles.bar} style={{ height: `${heightOf(one.lines, highest)}%` }}>
              <span className={styles.errors} style={{ flexGrow: one.errors }} />
              <span className={styles.warnings} style={{ flexGrow: one.warnings }} />
              <span className={styles.others} style={{ flexGrow: one.lines - one.errors - one.warnings }} />
            </span>
          </button>
        ))}
      </div>
      {isNarrow && (
        <Button small kind="quiet" onClick={onWhole}>
          {texts.allTime}
        </Button>
      )}
    </div>
  );
}

/** A few lines are still to be seen beside many. */
function heightOf(lines: number, highest: number): number {
  return lines === 0 ? 0 : Math.max(12, Math.round((lines / highest) * 100));
}

function wordsOf(t: Translate, { fromMs, toMs, lines, errors, warnings }: Bucket): string {
  const clock = (ms: number): string => new Date(ms).toLocaleTimeString();
  const parts = [count(t, lines, "{count} line", "{count} lines")];
  if (errors > 0) parts.push(count(t, errors, "{count} error", "{count} errors"));
  if (warnings > 0) parts.push(count(t, warnings, "{count} warning", "{count} warnings"));
  return t("{clock} to {clock2}: {parts}", { clock: clock(fromMs), clock2: clock(toMs), parts: parts.join(", ") });
}
