import type { ReactNode } from "react";

import type { Diagnosis } from "../api/failures";
import { Notice } from "../ui/controls";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import styles from "./failures.module.css";

const MOST = 8;

/** Why the preview did not start or ended, and what to do; nothing if nothing failed. */
export function DiagnosisNotice({ diagnosis }: { diagnosis: Diagnosis }): ReactNode {
  if (diagnosis.reason === null) return null;
  return (
    <div className={panel.pad}>
      <Notice tone="warn">
        <strong>{visible(diagnosis.summary)}</strong>
        {diagnosis.exit && <div>{visible(diagnosis.exit.words)}</div>}
        {diagnosis.advice.length > 0 && (
          <ul className={styles.advice}>
            {diagnosis.advice.slice(0, MOST).map((one) => (
              <li key={one}>{visible(one)}</li>
            ))}
          </ul>
        )}
      </Notice>
    </div>
  );
}
