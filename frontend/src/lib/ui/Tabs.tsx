import { useEffect, useRef, type KeyboardEvent, type ReactNode } from "react";

import controls from "./controls.module.css";

export interface TabsProps<T extends string> {
  label: string;
  /** Name and label of each, in order. */
  tabs: readonly (readonly [T, string])[];
  tab: T;
  onTab: (tab: T) => void;
}

/**
 * A row of tabs: one stop for Tab, arrow keys, Home and End move and choose at once
 * (https://www.w3.org/WAI/ARIA/apg/patterns/tabs/).
 */
export function Tabs<T extends string>({ label, tabs, tab, onTab }: TabsProps<T>): ReactNode {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // A narrow row may hide the chosen tab. Not scrollIntoView, which would also scroll the page around.
    const row = list.current;
    const chosen = row?.querySelector('[aria-selected="true"]');
    if (!row || !chosen) return;
    const [outer, inner] = [row.getBoundingClientRect(), chosen.getBoundingClientRect()];
    row.scrollLeft += Math.max(0, inner.right - outer.right) - Math.max(0, outer.left - inner.left);
  }, [tab]);
  const onKeyDown = (event: KeyboardEvent): void => {
    const at = nextTab(
      event.key,
      tabs.findIndex(([name]) => name === tab),
      tabs.length,
    );
    const next = at === null ? undefined : tabs[at];
    if (at === null || !next) return;
    event.preventDefault();
    onTab(next[0]);
    list.current?.querySelectorAll<HTMLElement>('[role="tab"]')[at]?.focus();
  };
  return (
    <div ref={list} className={controls.tabs} role="tablist" aria-label={label} onKeyDown={onKeyDown}>
      {tabs.map(([name, text]) => (
        <button
          key={name}
          type="button"
          role="tab"
          aria-selected={tab === name}
          tabIndex={tab === name ? 0 : -1}
          className={controls.tab}
          onClick={() => onTab(name)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

/** The label of the tab that is chosen: the name of what it shows. */
export function tabLabel<T extends string>(tabs: readonly (readonly [T, string])[], tab: T): string | undefined {
  return tabs.find(([name]) => name === tab)?.[1];
}

/** Which tab a key leads to; null for keys that lead nowhere. */
export function nextTab(key: string, at: number, count: number): number | null {
  switch (key) {
    case "ArrowRight":
      return (at + 1) % count;
    case "ArrowLeft":
      return (at - 1 + count) % count;
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return null;
  }
}
