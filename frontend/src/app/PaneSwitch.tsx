import { type KeyboardEvent, type ReactNode, useEffect, useRef } from "react";

import { Icon, type IconName } from "../lib/ui/icons";
import { nextTab } from "../lib/ui/Tabs";
import styles from "./workspace.module.css";
import { PANES } from "./panes";

interface PaneSwitchProps {
  shown: string;
  /** A small screen shows the log as one of the panes. */
  isSmall: boolean;
  onShow: (pane: string) => void;
}

const LOG: { id: string; icon: IconName; word: string } = { id: "log", icon: "terminal", word: "Log" };

/** The buttons of the panes. Arrow keys go from one to the next; the bar scrolls where they do not fit. */
export function PaneSwitch({ shown, isSmall, onShow }: PaneSwitchProps): ReactNode {
  const bar = useRef<HTMLDivElement>(null);
  const panes = isSmall ? [LOG, ...PANES] : PANES;
  useEffect(() => {
    const button = bar.current?.querySelector<HTMLElement>("[aria-pressed=true]");
    if (bar.current && button)
      bar.current.scrollLeft = button.offsetLeft - (bar.current.clientWidth - button.offsetWidth) / 2;
  }, [shown]);
  const key = (event: KeyboardEvent): void => {
    const buttons = [...(bar.current?.querySelectorAll<HTMLElement>("button") ?? [])];
    const at = nextTab(event.key, buttons.indexOf(document.activeElement as HTMLElement), buttons.length);
    const next = at === null ? undefined : panes[at];
    if (at === null || !next) return;
    event.preventDefault();
    buttons[at]?.focus();
    onShow(next.id);
  };
  return (
    <div ref={bar} className={styles.switch} role="group" aria-label="Panes" onKeyDown={key}>
      {panes.map((one) => (
        <button key={one.id} type="button" aria-pressed={shown === one.id} onClick={() => onShow(one.id)}>
          <Icon name={one.icon} /> {one.word}
        </button>
      ))}
    </div>
  );
}
