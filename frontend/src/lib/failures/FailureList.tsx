import type { ReactNode } from "react";

import type { FailureGroup } from "../api/failures";
import { useTranslate } from "../texts/translate";
import { Button, IconButton, Notice } from "../ui/controls";
import { ago, count } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import { DiagnosisNotice } from "./DiagnosisNotice";
import styles from "./failures.module.css";
import type { Failures } from "./useFailures";
import { firstLine, newSince, placeOf } from "./words";

/** The service sends no more at a time. */
const MOST = 200;

interface FailureListProps {
  failures: Failures;
  /** The failure that was open last: it has the focus. */
  last: string | null;
  onShow: (id: string) => void;
}

/** All failures of a preview, the newest first. */
export function FailureList({ failures, last, onShow }: FailureListProps): ReactNode {
  const t = useTranslate();
  const { page, problem, state } = failures;
  const items = (page?.items ?? []).slice(0, MOST);
  return (
    <div className={panel.view}>
      <div className={panel.bar}>
        <h3>{t("Failures")}</h3>
        <span className={panel.fact} role="status">
          {page && count(t, items.length, "{count} cause", "{count} causes")}
          {page &&
            page.further > 0 &&
            t(", and {further} of other causes", {
              further: count(t, page.further, "{count} occurrence", "{count} occurrences"),
            })}
        </span>
        <span className={panel.spring} />
        <IconButton icon="restart" label={t("Refresh")} onClick={failures.refresh} />
      </div>
      <div className={panel.scroll}>
        {problem && (
          <div className={panel.pad}>
            <Notice tone="bad" role="alert">
              {problem.message}
            </Notice>
          </div>
        )}
        {failures.diagnosis && <DiagnosisNotice diagnosis={failures.diagnosis} />}
        {!page && !problem && (
          <p className={panel.none}>
            {state === "none" ? t("Launch the preview: its failures are collected here.") : t("Loading…")}
          </p>
        )}
        {page && items.length === 0 && (
          <p className={panel.none}>
            {t("Nothing has failed. Tracebacks and unhandled errors appear here, grouped by cause.")}
          </p>
        )}
        {page && page.unread_lines > 0 && (
          <p className={panel.hint}>
            {t("{unread_lines} could not be searched: too many came at once.", {
              unread_lines: count(t, page.unread_lines, "{count} line", "{count} lines"),
            })}
          </p>
        )}
        <ul className={panel.list}>
          {items.map((one) => (
            <li key={one.id}>
              <FailureRow one={one} hasFocus={one.id === last} reloads={failures.reloads} onShow={onShow} />
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

interface FailureRowProps {
  one: FailureGroup;
  hasFocus: boolean;
  reloads: number;
  onShow: (id: string) => void;
}

function FailureRow({ one, hasFocus, reloads, onShow }: FailureRowProps): ReactNode {
  const t = useTranslate();
  const fresh = newSince(t, one, reloads);
  return (
    <button type="button" className={styles.row} autoFocus={hasFocus} onClick={() => onShow(one.id)}>
      <span className={styles.type}>{visible(one.type)}</span>
      <span
        className={styles.count}
        title={t("It happened {count}", { count: count(t, one.count, "{count} time", "{count} times") })}
      >
        {one.count.toLocaleString("en")}×
      </span>
      <span className={styles.message}>{firstLine(one.message)}</span>
      <span className={styles.place}>
        {placeOf(t, one.frame)}
        {fresh !== null && (
          <span className={panel.badge} data-tone="bad">
            {fresh}
          </span>
        )}
        <time dateTime={one.last.at}>{ago(t, one.last.at)}</time>
      </span>
    </button>
  );
}

/** A button back to the list. */
export function Back({ onBack }: { onBack: () => void }): ReactNode {
  const t = useTranslate();
  return (
    <Button small autoFocus icon="left" onClick={onBack}>
      {t("Failures")}
    </Button>
  );
}
