import { type KeyboardEvent, type PointerEvent, type ReactNode, useEffect, useRef, useState } from "react";

import { useTranslate } from "../texts/translate";
import styles from "./editor.module.css";

const KEY = "preview:request-split";
const LEAST = 15;
const MOST = 85;
const STEP = 4;

/** The form's part in percent, as the person left it in this browser; null while there was no choice. */
export function usePartSplit(): [number | null, (percent: number | null) => void] {
  const [percent, setPercent] = useState(kept);
  const set = (next: number | null): void => {
    const value = next === null ? null : clamped(next);
    setPercent(value);
    try {
      if (value === null) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, String(value));
    } catch {
      // not kept, then
    }
  };
  return [percent, set];
}

interface PartSplitterProps {
  percent: number | null;
  onPercent: (percent: number | null) => void;
}

/** The bar between the form and the response: dragged, or moved by the arrow keys. It stands or lies as they do. */
export function PartSplitter({ percent, onPercent }: PartSplitterProps): ReactNode {
  const t = useTranslate();
  const bar = useRef<HTMLDivElement>(null);
  const [isUpright, setUpright] = useState(false);
  useEffect(() => {
    const parts = bar.current?.parentElement;
    if (!parts || typeof ResizeObserver === "undefined") return undefined;
    const watch = new ResizeObserver(() => setUpright(getComputedStyle(parts).flexDirection === "row"));
    watch.observe(parts);
    return () => watch.disconnect();
  }, []);
  const move = (event: PointerEvent): void => {
    const box = event.currentTarget.parentElement?.getBoundingClientRect();
    if (!box || !event.currentTarget.hasPointerCapture(event.pointerId)) return;
    const part = isUpright ? (event.clientX - box.left) / box.width : (event.clientY - box.top) / box.height;
    onPercent(part * 100);
  };
  const key = (event: KeyboardEvent): void => {
    const step = { ArrowLeft: -STEP, ArrowUp: -STEP, ArrowRight: STEP, ArrowDown: STEP }[event.key];
    if (event.key === "Home") onPercent(LEAST);
    else if (event.key === "End") onPercent(MOST);
    else if (step !== undefined) onPercent((percent ?? measured(event.currentTarget, isUpright)) + step);
    else return;
    event.preventDefault();
  };
  return (
    <div
      ref={bar}
      className={styles.partSplitter}
      role="separator"
      tabIndex={0}
      aria-orientation={isUpright ? "vertical" : "horizontal"}
      aria-label={t("Size of the form")}
      aria-valuemin={LEAST}
      aria-valuemax={MOST}
      aria-valuenow={Math.round(percent ?? 50)}
      title={t("Drag to resize. Double-click to reset.")}
      onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={move}
      onDoubleClick={() => onPercent(null)}
      onKeyDown={key}
    />
  );
}

function measured(bar: Element, isUpright: boolean): number {
  const form = bar.previousElementSibling?.getBoundingClientRect();
  const whole = bar.parentElement?.getBoundingClientRect();
  if (!form || !whole) return 50;
  return ((isUpright ? form.width / whole.width : form.height / whole.height) || 0.5) * 100;
}

function clamped(percent: number): number {
  return Math.min(MOST, Math.max(LEAST, Math.round(percent * 10) / 10));
}

function kept(): number | null {
  try {
    const value = Number(localStorage.getItem(KEY) ?? "none");
    return Number.isFinite(value) ? clamped(value) : null;
  } catch {
    return null;
  }
}
