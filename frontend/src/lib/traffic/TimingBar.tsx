import type { CSSProperties, ReactNode } from "react";

import type { RecordTiming } from "../api/records";
import { useTranslate } from "../texts/translate";
import { milliseconds } from "../ui/format";
import styles from "./traffic.module.css";
import { spansOf } from "./words";

/** The time of a request as a bar, a piece for each phase. */
export function TimingBar({ timing }: { timing: RecordTiming }): ReactNode {
  const t = useTranslate();
  const spans = spansOf(t, timing);
  return (
    <div className={styles.timing}>
      <div className={styles.timingBar} aria-hidden="true">
        {spans.map((one) => (
          <span
            key={one.name}
            data-phase={one.name}
            style={{ "--share": Math.max(0.001, one.to - one.from) } as CSSProperties}
          />
        ))}
      </div>
      <dl className={styles.phases}>
        {spans.map((one) => (
          <div key={one.name} data-phase={one.name}>
            <dt>{one.word}</dt>
            <dd>{milliseconds(one.to - one.from)}</dd>
          </div>
        ))}
        <div>
          <dt>{t("total")}</dt>
          <dd>{milliseconds(timing.ended_ms)}</dd>
        </div>
      </dl>
    </div>
  );
}
