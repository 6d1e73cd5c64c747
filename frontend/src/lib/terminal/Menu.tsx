import { type FocusEvent, type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";

import { IconButton } from "../ui/controls";
import type { IconName } from "../ui/icons";
import styles from "./rows.module.css";

const ITEMS = "[role^=menuitem]";

export interface MenuItem {
  label: string;
  act: () => void;
  /** For what is switched on and off. */
  isChecked?: boolean;
}

interface MenuProps {
  icon: IconName;
  label: string;
  items: readonly MenuItem[];
  /** Said above the items. */
  hint?: string;
}

/** A button with a picture that opens a list of things to do. */
export function Menu({ icon, label, items, hint }: MenuProps): ReactNode {
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
    const buttons = [...(root.current?.querySelectorAll<HTMLElement>(ITEMS) ?? [])];
    const at = buttons.indexOf(document.activeElement as HTMLElement);
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0 || buttons.length === 0) return;
    event.preventDefault();
    buttons[(at + step + buttons.length) % buttons.length]?.focus();
  };
  const blur = (event: FocusEvent): void => {
    if (!root.current?.contains(event.relatedTarget)) setOpen(false);
  };
  return (
    <div ref={root} className={styles.menu} onKeyDown={key} onBlur={blur}>
      <IconButton
        icon={icon}
        label={label}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
      />
      {isOpen && (
        <div className={styles.menuList} role="menu" aria-label={hint ? `${label}. ${hint}` : label}>
          {hint && (
            <p className={styles.menuHint} aria-hidden="true">
              {hint}
            </p>
          )}
          {items.map((item) => (
            <button
              key={item.label}
              type="button"
              role={item.isChecked === undefined ? "menuitem" : "menuitemcheckbox"}
              tabIndex={-1}
              {...(item.isChecked !== undefined && { "aria-checked": item.isChecked })}
              onClick={() => {
                item.act();
                close();
              }}
            >
              {item.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
