import type { ReactNode } from "react";

import type { Verdict } from "../api/replay";
import panel from "../ui/panel.module.css";

export const TONES: Record<Verdict, "good" | "info" | "warn" | "bad"> = {
  same: "good",
  noisy: "info",
  changed: "warn",
  broke: "bad",
};

const TITLES: Record<Verdict, string> = {
  same: "The same response",
  noisy: "It differs only in values that change every time, such as ids and times",
  changed: "A different response",
  broke: "It fails now, but did not before",
};

/** The result of comparing two answers. */
export function VerdictBadge({ verdict }: { verdict: Verdict | null }): ReactNode {
  if (verdict === null) return <span className={panel.badge}>not compared</span>;
  return (
    <span className={panel.badge} data-tone={TONES[verdict]} title={TITLES[verdict]}>
      {verdict}
    </span>
  );
}
