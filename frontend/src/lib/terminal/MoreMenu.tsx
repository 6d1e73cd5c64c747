import type { ReactNode } from "react";

import { count } from "../ui/format";
import { Menu, type MenuItem } from "./Menu";

interface MoreMenuProps {
  onCopy: () => void;
  onSaveText: () => void;
  onSaveJson: () => void;
  onClear: () => void;
  /** How many lines of health checks are left out. */
  hiddenChecks: number;
  showsChecks: boolean;
  onChecks: (isShown: boolean) => void;
  isFolding: boolean;
  onFold: (isFolding: boolean) => void;
}

/** Copy, save, clear; and how the log is read. */
export function MoreMenu(props: MoreMenuProps): ReactNode {
  const checks: MenuItem = {
    label: props.showsChecks ? "Health checks" : `Health checks (${count(props.hiddenChecks, "line")} hidden)`,
    act: () => props.onChecks(!props.showsChecks),
    isChecked: props.showsChecks,
  };
  const folds: MenuItem = {
    label: "Fold tracebacks",
    act: () => props.onFold(!props.isFolding),
    isChecked: props.isFolding,
  };
  return (
    <Menu
      icon="more"
      label="Copy, save, clear"
      items={[
        { label: "Copy what is shown", act: props.onCopy },
        { label: "Save as text", act: props.onSaveText },
        { label: "Save as JSON Lines", act: props.onSaveJson },
        { label: "Clear", act: props.onClear },
        folds,
        checks,
      ]}
    />
  );
}
