import { type ReactNode, useEffect, useRef } from "react";

import type { AlertTrial } from "../api/alerts";
import { clock } from "../logs/text";
import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import { count } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import styles from "./alerts.module.css";

const MOST = 20;

/** What a rule would have matched, and when it would have fired. */
export function TrialResult({ trial, onShow }: { trial: AlertTrial; onShow: (seq: number) => void }): ReactNode {
  const t = useTranslate();
  const firings = trial.firings.slice(-MOST).reverse();
  const section = useRef<HTMLElement>(null);
  useEffect(() => {
    section.current?.scrollIntoView({ block: "nearest" });
  }, [trial]);
  return (
    <section ref={section} className={panel.section} aria-label={t("What it would have matched")}>
      <h4 role="status">
        {t("{matched} of {examined} would have matched; the rule would have fired {more}", {
          matched: count(t, trial.matched, "{count} line", "{count} lines"),
          examined: trial.examined.toLocaleString("en"),
          more: trial.firings.length === 1 ? "once" : count(t, trial.firings.length, "{count} time", "{count} times"),
        })}
      </h4>
      {trial.is_cut && <p className={panel.hint}>{t("Only the newest lines were searched.")}</p>}
      <ul className={panel.list}>
        {firings.map((one, at) => {
          const { line } = one;
          return (
            <li key={at} className={styles.firing}>
              <div className={panel.wrap}>
                <time className={panel.fact} dateTime={one.at}>
                  {clock(one.at)}
                </time>
                <span className={styles.summary}>{visible(one.summary)}</span>
                {line !== null && (
                  <Button small kind="quiet" onClick={() => onShow(line)}>
                    {t("Line {line}", { line: line.toLocaleString("en") })}
                  </Button>
                )}
              </div>
              {one.text !== null && <div className={styles.line}>{visible(one.text)}</div>}
            </li>
          );
        })}
      </ul>
      {trial.matched > 0 && firings.length === 0 && (
        <ul className={panel.list}>
          {trial.samples.slice(-MOST).map((one) => (
            <li key={one.seq} className={styles.firing}>
              <div className={styles.line}>{visible(one.message)}</div>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
