import type { ReactNode } from "react";

import type { Verdict } from "../api/replay";
import { useTranslate } from "../texts/translate";
import panel from "../ui/panel.module.css";
import styles from "./traffic.module.css";
import { TONES, VERDICT_WORDS } from "./VerdictBadge";

/** Verdicts, the worst first. */
export const VERDICTS: readonly Verdict[] = ["broke", "changed", "noisy", "same"];

/** How many there are of each verdict. */
export function VerdictCounts({ verdicts }: { verdicts: readonly Verdict[] }): ReactNode {
  const t = useTranslate();
  return (
    <div className={styles.counts} role="status">
      {VERDICTS.map((verdict) => {
        const number = verdicts.filter((one) => one === verdict).length;
        return (
          <span key={verdict} className={panel.badge} data-tone={number > 0 ? TONES[verdict] : undefined}>
            {number} {t(VERDICT_WORDS[verdict])}
          </span>
        );
      })}
    </div>
  );
}
