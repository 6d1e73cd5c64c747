import { type CSSProperties, type KeyboardEvent, type PointerEvent, type ReactNode, useState } from "react";

import styles from "./workspace.module.css";

const KEY = "preview:split";
const LEAST = 20;
const MOST = 80;
const STEP = 4;
const GAP_PX = 12;

export interface Split {
  /** The log's part of the width in percent; null while the person has not chosen. */
  percent: number | null;
  isAlone: boolean;
  style: CSSProperties;
  set: (percent: number) => void;
  toggle: () => void;
}

/** How the log and what is beside it share the width: as the person left it in this browser. */
export function useSplit(): Split {
  const [{ percent, isAlone }, setState] = useState(kept);
  const change = (next: { percent: number | null; isAlone: boolean }): void => {
    setState(next);
    try {
      localStorage.setItem(KEY, JSON.stringify(next));
    } catch {
      // not kept, then
    }
  };
  return {
    percent,
    isAlone,
    style: percent === null ? {} : ({ "--split": `${(percent / (100 - percent)).toFixed(4)}fr` } as CSSProperties),
    set: (next) => change({ percent: clamped(next), isAlone: false }),
    toggle: () => change({ percent, isAlone: !isAlone }),
  };
}

/** The bar between the log and what is beside it: dragged, or moved by the arrow keys; Enter shows the log alone. */
export function Splitter({ split }: { split: Split }): ReactNode {
  const now = split.percent ?? 50;
  const measured = (bar: Element): number => {
    const [panes, log] = around(bar);
    return panes && log ? (log.offsetWidth / panes.clientWidth) * 100 : now;
  };
  const move = (event: PointerEvent): void => {
    const box = event.currentTarget.parentElement?.getBoundingClientRect();
    if (!box || !event.currentTarget.hasPointerCapture(event.pointerId)) return;
    split.set(((event.clientX - box.left) / box.width) * 100);
  };
  const key = (event: KeyboardEvent): void => {
    const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (event.key === "Enter") split.toggle();
    else if (event.key === "Home") split.set(LEAST);
    else if (event.key === "End") split.set(MOST);
    else if (step !== undefined) split.set((split.percent ?? measured(event.currentTarget)) + step);
    else return;
    event.preventDefault();
  };
  return (
    <div
      className={styles.splitter}
      role="separator"
      tabIndex={0}
      aria-orientation="vertical"
      aria-label="Width of the log"
      aria-valuemin={LEAST}
      aria-valuemax={100}
      aria-valuenow={split.isAlone ? 100 : Math.round(now)}
      title="Drag to resize. Double-click or press Enter to show only the log, or both."
      ref={(bar) => place(bar, split.isAlone)}
      onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={move}
      onDoubleClick={split.toggle}
      onKeyDown={key}
    />
  );
}

/** The panes that a bar stands between, and the log among them. */
function around(bar: Element | null): [HTMLElement | null | undefined, HTMLElement | null | undefined] {
  const panes = bar?.parentElement;
  return [panes, panes?.querySelector<HTMLElement>(`.${styles.logPane ?? ""}`)];
}

/** In the gap, wherever the grid has it. */
function place(bar: HTMLDivElement | null, isAlone: boolean): (() => void) | undefined {
  const [root, log] = around(bar);
  if (!bar || !root || !log) return undefined;
  const put = (): void => {
    bar.style.left = `${isAlone ? root.clientWidth - GAP_PX : log.offsetLeft + log.offsetWidth}px`;
  };
  put();
  const watch = new ResizeObserver(put);
  watch.observe(log);
  watch.observe(root);
  return () => watch.disconnect();
}

function clamped(percent: number): number {
  return Math.min(MOST, Math.max(LEAST, Math.round(percent * 10) / 10));
}

function kept(): { percent: number | null; isAlone: boolean } {
  try {
    const { percent, isAlone } = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Record<string, unknown>;
    return { percent: typeof percent === "number" ? clamped(percent) : null, isAlone: isAlone === true };
  } catch {
    return { percent: null, isAlone: false };
  }
}
