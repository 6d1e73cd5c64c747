import { type ReactNode, useState } from "react";

import { useTranslate } from "../texts/translate";
import { CopyButton } from "../ui/controls";
import { Dialog } from "../ui/Dialog";
import { count } from "../ui/format";
import { visible } from "../ui/visible";
import panel from "../ui/panel.module.css";
import styles from "./data.module.css";

const MOST_CHARACTERS = 60;

/** A value of a table: NULL as such; a long one is cut, and a button shows all of it. */
export function Value({ value, name }: { value: string | null; name: string }): ReactNode {
  const t = useTranslate();
  const [isOpen, setOpen] = useState(false);
  if (value === null) return <span className={styles.null}>{t("NULL")}</span>;
  const lineEnd = value.search(/[\r\n]/);
  const end = lineEnd === -1 ? MOST_CHARACTERS : Math.min(lineEnd, MOST_CHARACTERS);
  if (value.length <= end) return visible(value);
  return (
    <>
      <button
        type="button"
        className={styles.long}
        aria-haspopup="dialog"
        title={t("Show the whole value")}
        onClick={() => setOpen(true)}
      >
        {visible(value.slice(0, end))}…
      </button>
      {isOpen && (
        <Dialog title={name} onClose={() => setOpen(false)}>
          <pre className={styles.whole} tabIndex={0} aria-label={t("Value of {name}", { name })}>
            {visible(value)}
          </pre>
          <div className={styles.bar}>
            <span className={panel.fact}>{count(t, value.length, "{count} character", "{count} characters")}</span>
            <CopyButton text={value} label={t("Copy the value")} />
          </div>
        </Dialog>
      )}
    </>
  );
}
