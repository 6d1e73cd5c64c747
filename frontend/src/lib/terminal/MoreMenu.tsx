import { type FocusEvent, type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";

import { IconButton } from "../ui/controls";
import styles from "./terminal.module.css";

interface MoreMenuProps {
  onCopy: () => void;
  onSaveText: () => void;
  onSaveJson: () => void;
  onClear: () => void;
}

/** Copy, save, clear. */
export function MoreMenu(props: MoreMenuProps): ReactNode {
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (isOpen) root.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
  }, [isOpen]);
  const close = (): void => {
    setOpen(false);
    root.current?.querySelector("button")?.focus();
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Escape") close();
    const items = [...(root.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0 || items.length === 0) return;
    event.preventDefault();
    items[(at + step + items.length) % items.length]?.focus();
  };
  const blur = (event: FocusEvent): void => {
    if (!root.current?.contains(event.relatedTarget)) setOpen(false);
  };
  const item = (label: string, act: () => void): ReactNode => (
    <button
      type="button"
      role="menuitem"
      tabIndex={-1}
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
        </div>
      )}
    </div>
  );
}
