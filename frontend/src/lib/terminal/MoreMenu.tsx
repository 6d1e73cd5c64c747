import { type FocusEvent, type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";

import { IconButton } from "../ui/controls";
import styles from "./terminal.module.css";

const ITEMS = "[role^=menuitem]";

interface MoreMenuProps {
  onCopy: () => void;
  onSaveText: () => void;
  onSaveJson: () => void;
  onClear: () => void;
  /** How many health checks are left out; null where it is not known what they are. */
  hiddenChecks: number | null;
  showsChecks: boolean;
  onChecks: (isShown: boolean) => void;
  isSpoken: boolean;
  onSpoken: (isSpoken: boolean) => void;
}

/** Copy, save, clear; and how the log is read. */
export function MoreMenu(props: MoreMenuProps): ReactNode {
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (isOpen) root.current?.querySelector<HTMLElement>(ITEMS)?.focus();
  }, [isOpen]);
  const close = (): void => {
    setOpen(false);
    root.current?.querySelector("button")?.focus();
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Escape") close();
    const items = [...(root.current?.querySelectorAll<HTMLElement>(ITEMS) ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0 || items.length === 0) return;
    event.preventDefault();
    items[(at + step + items.length) % items.length]?.focus();
  };
  const blur = (event: FocusEvent): void => {
    if (!root.current?.contains(event.relatedTarget)) setOpen(false);
  };
  const item = (label: string, act: () => void, isChecked?: boolean): ReactNode => (
    <button
      type="button"
      role={isChecked === undefined ? "menuitem" : "menuitemcheckbox"}
      tabIndex={-1}
      {...(isChecked !== undefined && { "aria-checked": isChecked })}
      onClick={() => {
        act();
        close();
      }}
    >
      {label}
    </button>
  );
  return (
    <div ref={root} className={styles.menu} onKeyDown={key} onBlur={blur}>
      <IconButton
        icon="more"
        label="Copy, save, clear"
        aria-haspopup="menu"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
      />
      {isOpen && (
        <div className={styles.menuList} role="menu" aria-label="Copy, save, clear">
          {item("Copy what is shown", props.onCopy)}
          {item("Save as text", props.onSaveText)}
          {item("Save as JSON Lines", props.onSaveJson)}
          {item("Clear", props.onClear)}
          {props.hiddenChecks !== null &&
            item(
              props.showsChecks ? "Health checks" : `Health checks (${props.hiddenChecks} hidden)`,
              () => props.onChecks(!props.showsChecks),
              props.showsChecks,
            )}
          {item("For screen readers", () => props.onSpoken(!props.isSpoken), props.isSpoken)}
        </div>
      )}
    </div>
  );
}
