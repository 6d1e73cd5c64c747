import { type KeyboardEvent, type ReactNode, useLayoutEffect, useRef, useState } from "react";

import { Menu } from "../lib/terminal/Menu";
import { classes } from "../lib/ui/controls";
import { Icon, type IconName } from "../lib/ui/icons";
import { nextTab } from "../lib/ui/Tabs";
import { fitting } from "./fitting";
import styles from "./paneSwitch.module.css";
import { PANES } from "./panes";

interface PaneSwitchProps {
  shown: string;
  /** A small screen shows the log as one of the panes. */
  isSmall: boolean;
  /** Comments that the person has not read. */
  unread: number;
  onShow: (pane: string) => void;
}

interface PaneButton {
  id: string;
  icon: IconName;
  word: string;
}

const LOG: PaneButton = { id: "log", icon: "terminal", word: "Log" };

/** The buttons of the panes, in one row; those that do not fit are in a menu. Arrow keys go from one to the next. */
export function PaneSwitch({ shown, isSmall, unread, onShow }: PaneSwitchProps): ReactNode {
  const bar = useRef<HTMLDivElement>(null);
  const width = useWidth(bar);
  const panes: readonly PaneButton[] = isSmall ? [LOG, ...PANES] : PANES;
  const { visible, rest, isStacked } = fitting(panes, shown, width);
  const key = (event: KeyboardEvent): void => {
    const buttons = [...(bar.current?.querySelectorAll<HTMLElement>(":scope > button") ?? [])];
    const here = buttons.indexOf(document.activeElement as HTMLElement);
    const at = here === -1 ? null : nextTab(event.key, here, buttons.length);
    const next = at === null ? undefined : visible[at];
    if (at === null || !next) return;
    event.preventDefault();
    buttons[at]?.focus();
    onShow(next.id);
  };
  return (
    <div
      ref={bar}
      className={classes(styles.switch, isStacked && styles.stacked)}
      role="group"
      aria-label="Panes"
      onKeyDown={key}
    >
      {visible.map((one) => (
        <button key={one.id} type="button" aria-pressed={shown === one.id} onClick={() => onShow(one.id)}>
          <Icon name={one.icon} /> {one.word}
          {one.id === "people" && unread > 0 && <Unread count={unread} />}
        </button>
      ))}
      {rest.length > 0 && (
        <span className={styles.morePanes}>
          <Menu
            icon="more"
            label="More panes"
            items={rest.map((one) => ({
              label: one.id === "people" && unread > 0 ? `${one.word} (${unread} new)` : one.word,
              act: () => onShow(one.id),
            }))}
          />
        </span>
      )}
    </div>
  );
}

/** A number of comments that the person has not read. */
export function Unread({ count }: { count: number }): ReactNode {
  const label = count === 1 ? "1 new comment" : `${count} new comments`;
  return (
    <span className={styles.unread} title={label}>
      <span aria-hidden="true">{count > 99 ? "99+" : count}</span>
      <span className={styles.unreadWords}>{label}</span>
    </span>
  );
}

/** The width of an element in pixels; null before it is known. */
function useWidth(of: React.RefObject<HTMLElement | null>): number | null {
  const [width, setWidth] = useState<number | null>(null);
  // Measured before the first paint: else the row is drawn twice, and all below it moves.
  useLayoutEffect(() => {
    const element = of.current;
    if (element === null) return;
    const { paddingLeft, paddingRight } = getComputedStyle(element);
    setWidth(Math.floor(element.clientWidth - (parseFloat(paddingLeft) || 0) - (parseFloat(paddingRight) || 0)));
    const observer = new ResizeObserver(([entry]) => setWidth(entry ? Math.floor(entry.contentRect.width) : null));
    observer.observe(element);
    return () => observer.disconnect();
  }, [of]);
  return width;
}
