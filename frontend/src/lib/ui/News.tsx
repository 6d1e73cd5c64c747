import type { ReactNode } from "react";

import { useTranslate } from "../texts/translate";
import { Button, Notice } from "./controls";
import styles from "./panel.module.css";
import type { Action } from "./useAction";

/** How the last action went, or that it runs. */
export function News({ action, children }: { action: Action; children?: ReactNode }): ReactNode {
  const t = useTranslate();
  const { busy, done, problem, dismiss } = action;
  const close = (
    <Button small kind="quiet" onClick={dismiss}>
      {t("Dismiss")}
    </Button>
  );
  if (busy !== null)
    return (
      <div className={styles.news}>
        <Notice role="status">{busy}</Notice>
      </div>
    );
  if (problem)
    return (
      <div className={styles.news}>
        <Notice tone="bad" role="alert" actions={close}>
          {problem.message}
        </Notice>
      </div>
    );
  if (done === null) return null;
  return (
    <div className={styles.news}>
      <Notice role="status" actions={close}>
        {done} {children}
      </Notice>
    </div>
  );
}
