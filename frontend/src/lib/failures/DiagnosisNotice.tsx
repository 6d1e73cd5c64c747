import type { ReactNode } from "react";

import type { Diagnosis } from "../api/failures";
import { Notice } from "../ui/controls";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";

/** Why the preview did not start or ended, and what to do. */
export function DiagnosisNotice({ diagnosis }: { diagnosis: Diagnosis; onShow: (id: string) => void }): ReactNode {
  if (!diagnosis.sentence) return null;
  return (
    <div className={panel.pad}>
      <Notice>
        {visible(diagnosis.sentence)} {diagnosis.todo !== null && visible(diagnosis.todo)}
      </Notice>
    </div>
  );
}
