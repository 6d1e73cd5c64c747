import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "../api/client";
import type { RecordedRequest } from "../api/records";
import { FilterField } from "../filter/FilterField";
import type { Terms } from "../filter/useTerms";
import type { RequestDesk } from "../request/desk";
import { Button, Notice } from "../ui/controls";
import { clockOf, count, milliseconds } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import { RecordTools } from "./RecordTools";
import styles from "./traffic.module.css";
import type { Records } from "./useRecords";
import { fromWords } from "./words";

const ROW_PX = 44;
const NEAR_END = 20;

interface RecordListProps {
  client: PreviewClient;
  generationId: string;
  desk: RequestDesk;
  records: Records;
  terms: Terms;
  /** The record that was open last: it has the focus. */
  last: number | null;
  isRunning: boolean;
}

/** Recorded requests, the newest first; only those in sight are in the page. */
export function RecordList(props: RecordListProps): ReactNode {
  const { records, terms, desk } = props;
  const list = records.records;
  return (
    <div className={panel.view}>
      <div className={styles.tools}>
        <FilterField terms={terms} label="Filter the requests" example="status:>=500 ms:>100" />
        <RecordTools {...props} filter={terms.filter} />
      </div>
      {records.problem && (
        <div className={panel.pad}>
          <Notice
            tone="bad"
            role="alert"
            actions={
              <Button small onClick={records.refresh}>
                Read again
              </Button>
            }
          >
            {records.problem.message}
          </Notice>
        </div>
      )}
      {records.lost > 0 && (
        <p className={panel.hint}>
          {count(records.lost, "request")} {records.lost === 1 ? "was" : "were"} not recorded: there were too many at
          once.
        </p>
      )}
      {list === null && !records.problem && <p className={panel.none}>Reading…</p>}
      {list?.length === 0 && (
        <p className={panel.none}>
          {terms.filter === ""
            ? "No request has been recorded yet. Send one, or open the preview in the browser."
            : "No recorded request matches the filter."}
        </p>
      )}
      {list !== null && list.length > 0 && (
        <Rows
          list={list}
          last={props.last}
          hasOlder={records.hasOlder}
          onOlder={records.loadOlder}
          onShow={desk.showRecord}
        />
      )}
    </div>
  );
}

interface RowsProps {
  list: readonly RecordedRequest[];
  last: number | null;
  hasOlder: boolean;
  onOlder: () => void;
  onShow: (number: number) => void;
}

function Rows({ list, last, hasOlder, onOlder, onShow }: RowsProps): ReactNode {
  const scroller = useRef<HTMLDivElement>(null);
  const [start] = useState(() =>
    Math.max(
      0,
      list.findIndex((one) => one.number === last),
    ),
  );
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
  return (
    <div ref={scroller} className={styles.rows} role="region" aria-label="Recorded requests" tabIndex={0}>
      <ul className={panel.list} style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {items.map((item) => {
          const record = list[item.index];
          if (!record) return null;
          return (
            <li key={item.key}>
              <RecordRow record={record} top={item.start} hasFocus={record.number === last} onShow={onShow} />
            </li>
          );
        })}
      </ul>
    </div>
  );
}

interface RecordRowProps {
  record: RecordedRequest;
  top: number;
  hasFocus: boolean;
  onShow: (number: number) => void;
}

function RecordRow({ record, top, hasFocus, onShow }: RecordRowProps): ReactNode {
  const at = Date.parse(record.started_at);
  return (
    <button
      type="button"
      className={styles.row}
      style={{ transform: `translateY(${top}px)` }}
      autoFocus={hasFocus}
      onClick={() => onShow(record.number)}
    >
      <span className={styles.method}>{visible(record.method)}</span>
      <Status record={record} />
      <span className={styles.path} title={visible(record.target)}>
        {visible(record.target)}
        <small>
          {record.pinned && "pinned · "}
          {fromWords(record)}
          {record.error !== null && ` · ${record.error}`}
        </small>
      </span>
      <span className={styles.ms}>{milliseconds(record.timing.ended_ms)}</span>
      <time className={styles.ms} dateTime={record.started_at}>
        {Number.isNaN(at) ? "" : clockOf(at)}
      </time>
    </button>
  );
}

/** The status of a record, or that there was no response. */
export function Status({ record }: { record: Pick<RecordedRequest, "status"> }): ReactNode {
  const { status } = record;
  if (status === null)
    return (
      <span className={panel.status} data-class="0" title="No response">
        –
      </span>
    );
  return (
    <span className={panel.status} data-class={Math.floor(status / 100)}>
      {status}
    </span>
  );
}
