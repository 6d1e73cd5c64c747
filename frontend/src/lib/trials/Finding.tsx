import { type ReactNode, useState } from "react";

import type { ProbeFinding } from "../api/probe";
import { useTranslate } from "../texts/translate";
import { Button, CopyButton } from "../ui/controls";
import panel from "../ui/panel.module.css";
import { visible, visibleWithoutColours } from "../ui/visible";
import styles from "./trials.module.css";

const MOST_STEPS = 20;
const MOST_LINES = 60;

interface FindingProps {
  finding: ProbeFinding;
  onShowFailure: ((failureId: string) => void) | undefined;
}

/** A mistake that a probe found, with the requests that show it. */
export function Finding({ finding, onShowFailure }: FindingProps): ReactNode {
  const t = useTranslate();
  const [isOpen, setOpen] = useState(false);
  const commands = finding.steps.map((one) => one.curl).join("\n");
  return (
    <div className={styles.finding}>
      <button type="button" className={styles.findingHead} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <span className={panel.badge} data-tone={finding.is_doubtful ? "warn" : "bad"}>
          {visible(finding.kind.replaceAll("_", " "))}
        </span>
        <span className={styles.where}>
          {visible(finding.method)} {visible(finding.path)}
        </span>
        <span className={styles.sentence}>{visible(finding.sentence)}</span>
        {finding.error !== null && (
          <span className={styles.error}>
            {visible(finding.error)}
            {finding.frame !== null && ` (${visible(finding.frame)})`}
          </span>
        )}
      </button>
      {isOpen && (
        <>
          <div className={panel.sectionHead}>
            <h4>{t("To reproduce it")}</h4>
            {finding.failure !== null && onShowFailure && (
              <Button small onClick={() => onShowFailure(finding.failure ?? "")}>
                {t("Failure")}
              </Button>
            )}
            <CopyButton text={commands} label={t("Copy the curl commands")} />
          </div>
          {finding.steps.slice(0, MOST_STEPS).map((one) => (
            <div key={one.number}>
              <pre
                className={`${panel.code} ${panel.wrapped}`}
                tabIndex={0}
                aria-label={t("Request {number}", { number: one.number })}
              >
                {visible(one.curl)}
              </pre>
              <p className={panel.hint}>
                {one.status === null ? t("no response") : t("answered {status}", { status: one.status })}
              </p>
            </div>
          ))}
          {finding.answer && (
            <>
              <div className={panel.sectionHead}>
                <h4>{t("Response")}</h4>
              </div>
              <pre className={`${panel.code} ${panel.wrapped}`} tabIndex={0} aria-label={t("Response")}>
                {visible(finding.answer)}
              </pre>
            </>
          )}
          {finding.lines.length > 0 && (
            <>
              <div className={panel.sectionHead}>
                <h4>{t("Log lines of the copy")}</h4>
              </div>
              <pre className={`${panel.code} ${panel.wrapped}`} tabIndex={0} aria-label={t("Log lines")}>
                {finding.lines
                  .slice(0, MOST_LINES)
                  .map((one) => visibleWithoutColours(one.message))
                  .join("\n")}
              </pre>
            </>
          )}
        </>
      )}
    </div>
  );
}
