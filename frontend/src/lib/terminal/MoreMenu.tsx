import type { ReactNode } from "react";

import { useTranslate } from "../texts/translate";
import { count } from "../ui/format";
import { Menu, type MenuItem } from "./Menu";
import { useTexts } from "./texts";

interface MoreMenuProps {
  /** Leads to the logs of earlier launches. */
  onEarlier: (() => void) | undefined;
  onClear: () => void;
  /** How many lines of health checks are left out. */
  hiddenChecks: number;
  showsChecks: boolean;
  onChecks: (isShown: boolean) => void;
  isFolding: boolean;
  onFold: (isFolding: boolean) => void;
  showsTimeline: boolean;
  onTimeline: (isShown: boolean) => void;
}

/** Clear, and how the log is read. */
export function MoreMenu(props: MoreMenuProps): ReactNode {
  const t = useTranslate();
  const texts = useTexts();
  const checks: MenuItem = {
    label: props.showsChecks
      ? texts.healthChecks
      : t("{healthChecks} ({hiddenChecks} hidden)", {
          healthChecks: texts.healthChecks,
          hiddenChecks: count(t, props.hiddenChecks, "{count} line", "{count} lines"),
        }),
    act: () => props.onChecks(!props.showsChecks),
    isChecked: props.showsChecks,
  };
  const folds: MenuItem = {
    label: texts.foldTracebacks,
    act: () => props.onFold(!props.isFolding),
    isChecked: props.isFolding,
  };
  const timeline: MenuItem = {
    label: texts.timeline,
    act: () => props.onTimeline(!props.showsTimeline),
    isChecked: props.showsTimeline,
  };
  return (
    <Menu
      icon="more"
      label={texts.more}
      items={[
        { label: texts.clear, act: props.onClear },
        ...(props.onEarlier ? [{ label: t("Logs of earlier launches"), act: props.onEarlier }] : []),
        folds,
        timeline,
        checks,
      ]}
    />
  );
}
