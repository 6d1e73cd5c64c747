import { useVirtualizer } from "@tanstack/react-virtual";
import { Fragment, type ReactNode, useMemo, useRef, useState } from "react";

import { useTranslate } from "../texts/translate";
import { count } from "../ui/format";
import { Icon } from "../ui/icons";
import { visible } from "../ui/visible";
import styles from "./answer.module.css";

interface Row {
  path: string;
  depth: number;
  name: string | null;
  value: unknown;
  isOpen: boolean | null;
  /** A bracket that closes what is above. */
  closing: string | null;
}

const ROW_PX = 21;
/** Open at first: enough to see what it is about. */
const OPEN_DEPTH = 5;
const OPEN_ITEMS = 100;
/** Shorter than this, an array or object stands on one line. */
const INLINE_CHARS = 60;
const INLINE_ITEMS = 12;

/** Called with the key and the text of a value, to keep it as a variable. */
export type UseValue = (key: string, value: string) => void;

/** A JSON value of at most `MAX_DEPTH` levels as a tree whose branches open and close; only what is in sight is in the page. */
export function JsonTree({ value, onUse }: { value: unknown; onUse?: UseValue | undefined }): ReactNode {
  const t = useTranslate();
  const [toggled, setToggled] = useState<ReadonlySet<string>>(new Set());
  const rows = useMemo(() => flatten(value, toggled), [value, toggled]);
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 20,
  });
  const toggle = (path: string): void => {
    const next = new Set(toggled);
    if (!next.delete(path)) next.add(path);
    setToggled(next);
  };
  return (
    <div ref={scroller} className={styles.tree} tabIndex={0} role="region" aria-label={t("Response as JSON")}>
      <div style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index];
          if (!row) return null;
          return (
            <div
              key={item.key}
              ref={virtual.measureElement}
              data-index={item.index}
              className={styles.treeRow}
              style={{ transform: `translateY(${item.start}px)`, paddingLeft: row.depth * 16 + 18 }}
            >
              <TreeRow row={row} onToggle={toggle} onUse={onUse} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

interface TreeRowProps {
  row: Row;
  onToggle: (path: string) => void;
  onUse: UseValue | undefined;
}

function TreeRow({ row, onToggle, onUse }: TreeRowProps): ReactNode {
  const t = useTranslate();
  const name = row.name !== null && <span className={styles.key}>{visible(row.name)}: </span>;
  if (row.closing !== null) return <span className={styles.muted}>{row.closing}</span>;
  if (row.isOpen === null)
    return (
      <>
        {name}
        <Inline value={row.value} from={row.path.replace(/^.*\//s, "")} onUse={onUse} />
      </>
    );
  const isArray = Array.isArray(row.value);
  const size = Object.keys(row.value as object).length;
  const [first, last] = isArray ? ["[", "]"] : ["{", "}"];
  const inside = isArray
    ? count(t, size, "{count} item", "{count} items")
    : count(t, size, "{count} key", "{count} keys");
  const summary = row.isOpen ? first : `${first} ${inside} ${last}`;
  return (
    <button type="button" className={styles.branch} aria-expanded={row.isOpen} onClick={() => onToggle(row.path)}>
      <span className={styles.caret} data-open={row.isOpen}>
        <Icon name="down" size={10} />
      </span>
      {name}
      <span className={styles.muted}>{summary}</span>
    </button>
  );
}

/** A value on one line, coloured by what its parts are. */
function Inline({ value, from, onUse }: { value: unknown; from: string; onUse: UseValue | undefined }): ReactNode {
  const isArray = Array.isArray(value);
  if (typeof value !== "object" || value === null || Object.keys(value).length === 0)
    return <Leaf value={value} from={from} onUse={onUse} />;
  return (
    <>
      <span className={styles.muted}>{isArray ? "[" : "{ "}</span>
      {Object.entries(value as Record<string, unknown>).map(([key, one], at) => (
        <Fragment key={key}>
          {at > 0 && <span className={styles.muted}>, </span>}
          {!isArray && <span className={styles.key}>{visible(JSON.stringify(key))}: </span>}
          <Inline value={one} from={key} onUse={onUse} />
        </Fragment>
      ))}
      <span className={styles.muted}>{isArray ? "]" : " }"}</span>
    </>
  );
}

/** Whether an array or object is short enough to be read on one line. */
function isShort(value: object): boolean {
  const parts: unknown[] = Object.values(value);
  if (parts.length > INLINE_ITEMS) return false;
  // What is long is looked at no further than it must be.
  if (parts.some((one) => typeof one === "string" && one.length > INLINE_CHARS)) return false;
  if (parts.some((one) => typeof one === "object" && one !== null && !isShort(one))) return false;
  return JSON.stringify(value).length <= INLINE_CHARS;
}

/** Longer values cannot be kept. */
const MAX_KEPT_CHARS = 16_384;

function Leaf({ value, from, onUse }: { value: unknown; from: string; onUse: UseValue | undefined }): ReactNode {
  const t = useTranslate();
  const kind = value === null ? "null" : Array.isArray(value) || typeof value === "object" ? "empty" : typeof value;
  const shown = visible(JSON.stringify(value));
  const text = typeof value === "string" ? value : shown;
  if (onUse && value !== null && typeof value !== "object" && text.length <= MAX_KEPT_CHARS)
    return (
      <button
        type="button"
        className={styles.leaf}
        data-kind={kind}
        title={t("Keep it as a variable for requests")}
        onClick={() => onUse(from, text)}
      >
        {shown}
      </button>
    );
  return (
    <span className={styles.leaf} data-kind={kind}>
      {shown}
    </span>
  );
}

export function flatten(root: unknown, toggled: ReadonlySet<string>): Row[] {
  const rows: Row[] = [];
  const add = (value: unknown, name: string | null, path: string, depth: number): void => {
    const isBranch =
      typeof value === "object" && value !== null && Object.keys(value).length > 0 && (depth === 0 || !isShort(value));
    if (!isBranch) {
      rows.push({ path, depth, name, value, isOpen: null, closing: null });
      return;
    }
    const entries = Object.entries(value);
    const isOpenAtFirst = depth === 0 || (depth < OPEN_DEPTH && entries.length <= OPEN_ITEMS);
    const isOpen = isOpenAtFirst !== toggled.has(path);
    rows.push({ path, depth, name, value, isOpen, closing: null });
    if (!isOpen) return;
    const isArray = Array.isArray(value);
    for (const [key, one] of entries) add(one, isArray ? null : JSON.stringify(key), `${path}/${key}`, depth + 1);
    rows.push({ path: `${path}/`, depth, name: null, value: null, isOpen: null, closing: isArray ? "]" : "}" });
  };
  add(root, null, "", 0);
  return rows;
}
