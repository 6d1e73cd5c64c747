import type { ReactNode } from "react";

import type { RequestMark } from "../logs/marks";
import { isNote } from "../logs/store";
import { useTranslate } from "../texts/translate";
import type { HoveredLine } from "./screenTypes";
import styles from "./terminal.module.css";

/** All that is known of the line under the pointer: exact time, number, level, and the request that ran meanwhile. */
export function LineTip({ line, mark }: { line: HoveredLine; mark: RequestMark | undefined }): ReactNode {
  const t = useTranslate();
  const { entry } = line;
  if (isNote(entry)) return null;
  return (
    <div className={styles.tip} style={{ left: line.x + 12, top: line.y + 14 }} role="tooltip">
      {new Date(entry.timestamp).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" })}
      <span>{entry.timestamp}</span>
      <span>
        {t("Line {seq} · {level} · {more}", {
          seq: entry.seq.toLocaleString("en"),
          level: entry.level,
          more: entry.source === "system" ? t("the service") : t("the program"),
        })}
      </span>
      {mark && <span>{t("While {label} ran", { label: mark.label })}</span>}
    </div>
  );
}
