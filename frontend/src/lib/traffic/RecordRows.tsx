import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";

import type { RecordedRequest } from "../api/records";
import type { Verdict } from "../api/replay";
import { useTranslate } from "../texts/translate";
import { classes } from "../ui/controls";
import { clockOf, milliseconds } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import { Status } from "./Status";
import styles from "./traffic.module.css";
import type { ReplaySelected } from "./useReplaySelected";
import { VerdictBadge } from "./VerdictBadge";
import { fromWords } from "./words";

const ROW_PX = 44;
const NEAR_END = 20;

interface RecordRowsProps {
  list: readonly RecordedRequest[];
  /** Null where requests cannot be replayed. */
  selection: ReplaySelected | null;
  /** The record that was open last: it has the focus. */
  last: number | null;
  hasOlder: boolean;
  onOlder: () => void;
  onShow: (number: number) => void;
}

/** Rows of requests. One of them is a stop of the Tab key, the arrow keys go to the others. */
export function RecordRows({ list, selection, last, hasOlder, onOlder, onShow }: RecordRowsProps): ReactNode {
  const t = useTranslate();
  const scroller = useRef<HTMLDivElement>(null);
  const [stop, setStop] = useState(last);
  const [start] = useState(() => positionOf(list, last));
  const virtual = useVirtualizer({
    count: list.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    getItemKey: (at) => list[at]?.number ?? at,
    initialOffset: Math.max(0, start * ROW_PX - 3 * ROW_PX),
    overscan: 12,
  });
  const items = virtual.getVirtualItems();
  const end = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasOlder && end >= list.length - NEAR_END) onOlder();
  }, [hasOlder, end, list.length, onOlder]);
  // Where the row with the stop has left the page, the first one in sight takes its place.
  const isThere = items.some((item) => list[item.index]?.number === stop);
  const first = items.find((item) => item.start >= (virtual.scrollOffset ?? 0)) ?? items[0];
  const onKeyDown = (event: KeyboardEvent<HTMLElement>): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const target = event.target as HTMLElement;
    const row = target.closest<HTMLElement>("[data-at]");
    if (step === undefined || row === null) return;
    event.preventDefault();
    const at = Number(row.dataset.at) + step;
    const next = scroller.current?.querySelector<HTMLElement>(`[data-at="${at}"]`);
    const record = list[at];
    if (!next || !record) return;
    setStop(record.number);
    next.querySelector<HTMLElement>(target.tagName)?.focus({ preventScroll: true });
    virtual.scrollToIndex(at);
    if (event.shiftKey) selection?.toggle(record.number, true);
  };
  return (
    <div ref={scroller} className={styles.rows} role="region" aria-label={t("Recorded requests")} tabIndex={-1}>
      <ul className={panel.list} style={{ height: virtual.getTotalSize(), position: "relative" }} onKeyDown={onKeyDown}>
        {items.map((item) => {
          const record = list[item.index];
          if (!record) return null;
          const hasStop = isThere ? record.number === stop : item === first;
          return (
            <li
              key={item.key}
              data-at={item.index}
              className={classes(styles.rowItem, selection?.has(record.number) && styles.isPicked)}
              style={{ transform: `translateY(${item.start}px)` }}
              onFocus={() => setStop(record.number)}
            >
              <RecordRow
                record={record}
                selection={selection}
                hasFocus={record.number === last}
                tabIndex={hasStop ? 0 : -1}
                onShow={onShow}
              />
            </li>
          );
        })}
      </ul>
    </div>
  );
}

function positionOf(list: readonly RecordedRequest[], number: number | null): number {
  return Math.max(
    0,
    list.findIndex((one) => one.number === number),
  );
}

interface RecordRowProps {
  record: RecordedRequest;
  selection: ReplaySelected | null;
  hasFocus: boolean;
  tabIndex: 0 | -1;
  onShow: (number: number) => void;
}

function RecordRow({ record, selection, hasFocus, tabIndex, onShow }: RecordRowProps): ReactNode {
  const t = useTranslate();
  const at = Date.parse(record.started_at);
  const name = visible(`${record.method} ${record.target}`);
  const verdict: Verdict | null = selection?.verdictOf(record.number) ?? null;
  return (
    <>
      {selection && (
        <label className={styles.pickCell}>
          <input
            type="checkbox"
            className={styles.pick}
            aria-label={t("Select request {number}, {name}", { number: record.number, name })}
            tabIndex={tabIndex}
            checked={selection.has(record.number)}
            onChange={(event) => selection.toggle(record.number, (event.nativeEvent as MouseEvent).shiftKey)}
          />
        </label>
      )}
      <button
        type="button"
        className={styles.row}
        autoFocus={hasFocus}
        tabIndex={tabIndex}
        onClick={() => onShow(record.number)}
      >
        <span className={styles.method}>{visible(record.method)}</span>
        <Status record={record} />
        <span className={styles.path} title={visible(record.target)}>
          {visible(record.target)}
          <small>
            {record.pinned && t("pinned · ")}
            {fromWords(t, record)}
            {record.failure !== null && t(" · has a failure")}
            {record.error !== null && ` · ${record.error}`}
          </small>
        </span>
        {verdict === null ? (
          <span className={styles.ms}>{milliseconds(record.timing.ended_ms)}</span>
        ) : (
          <VerdictBadge verdict={verdict} />
        )}
        <time className={styles.ms} dateTime={record.started_at}>
          {Number.isNaN(at) ? "" : clockOf(at)}
        </time>
      </button>
    </>
  );
}
