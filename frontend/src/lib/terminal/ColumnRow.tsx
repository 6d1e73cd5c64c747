import type { ReactNode } from "react";

import { useTranslate } from "../texts/translate";
import { IconButton } from "../ui/controls";
import { visible } from "../ui/visible";
import lineStyles from "./line.module.css";
import styles from "./columns.module.css";

interface ColumnRowProps {
  columns: readonly string[];
  timestamps: boolean;
  fontSize: number;
  onRemove: (path: string) => void;
}

/** The names of the columns, above the values of JSON lines. */
export function ColumnRow({ columns, timestamps, fontSize, onRemove }: ColumnRowProps): ReactNode {
  const t = useTranslate();
  return (
    <div className={styles.around}>
      <div className={styles.row} role="group" aria-label={t("Columns")} style={{ fontSize }}>
        <span className={lineStyles.head} aria-hidden="true">
          {timestamps && <span className={styles.time}>00:00:00.000</span>}
        </span>
        {columns.map((path) => (
          <span key={path} className={styles.name} title={visible(path)}>
            <span className={styles.words}>{visible(path)}</span>
            <IconButton
              icon="close"
              label={t("Remove the column {name}", { name: visible(path) })}
              onClick={() => onRemove(path)}
            />
          </span>
        ))}
      </div>
    </div>
  );
}
