import type { ReactNode } from "react";

import type { RecordedRequest } from "../api/records";
import { useTranslate } from "../texts/translate";
import panel from "../ui/panel.module.css";

/** The status of a record, or that there was no response. */
export function Status({ record }: { record: Pick<RecordedRequest, "status"> }): ReactNode {
  const t = useTranslate();
  const { status } = record;
  if (status === null)
    return (
      <span className={panel.status} data-class="0" title={t("No response")}>
        –
      </span>
    );
  return (
    <span className={panel.status} data-class={Math.floor(status / 100)}>
      {status}
    </span>
  );
}
