import { type ReactNode, useEffect } from "react";

import { type Check, type CheckResult, readChecks, runChecks } from "../api/checks";
import type { PreviewClient } from "../api/client";
import { useTranslate } from "../texts/translate";
import { Button, Notice } from "../ui/controls";
import { ago, count, milliseconds } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { useLogSession, useLogSnapshot } from "../usePreviewLogs";
import styles from "./trials.module.css";

const MOST = 500;
const MOST_PROBLEMS = 10;
interface ChecksViewProps {
  client: PreviewClient;
  generationId: string;
  isRunning: boolean;
}

/** The checks beside the code, with the result of the last run. */
export function ChecksView({ client, generationId, isRunning }: ChecksViewProps): ReactNode {
  const t = useTranslate();
  const action = useAction();
  const { restarts } = useLogSnapshot(useLogSession(generationId, { client }));
  const found = useLoad(generationId, (signal) => readChecks(client, generationId, signal));
  const { refresh } = found;
  useEffect(() => {
    // They run after each reload, and take a moment.
    if (restarts === 0) return;
    const timer = setTimeout(refresh, 2_000);
    return () => clearTimeout(timer);
  }, [restarts, refresh]);
  const run = (): void =>
    void action.run(t("Running the checks…"), async () => {
      const result = await runChecks(client, generationId);
      found.put((before) => ({ ...before, last_run: result }));
      return undefined;
    });
  const checks = found.value;
  return (
    <div className={panel.scroll}>
      <p className={panel.hint}>
        {t(
          "Checks are requests with their expected responses, in preview.checks.toml next to the code. They run after each reload.",
        )}
      </p>
      <div className={panel.actions}>
        <Button
          kind="primary"
          icon="play"
          disabled={!isRunning || action.busy !== null || (checks?.checks.length ?? 0) === 0}
          onClick={run}
        >
          {t("Run now")}
        </Button>
        <span className={panel.fact} role="status">
          {checks &&
            (checks.last_run
              ? `${visible(checks.last_run.summary)}, ${ago(t, checks.last_run.at)}`
              : count(t, checks.checks.length, "{count} check", "{count} checks"))}
        </span>
      </div>
      <News action={action} />
      {found.problem && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            {found.problem.message}
          </Notice>
        </div>
      )}
      {checks?.checks.length === 0 && (
        <p className={panel.none}>{t("There are no checks. Open a recorded request and choose “Save as check”.")}</p>
      )}
      <ul className={panel.list}>
        {checks?.checks.slice(0, MOST).map((one) => (
          <li key={one.name} className={styles.finding}>
            <Row one={one} result={checks.last_run?.results.find((result) => result.name === one.name)} />
          </li>
        ))}
      </ul>
    </div>
  );
}

function Row({ one, result }: { one: Check; result: CheckResult | undefined }): ReactNode {
  const t = useTranslate();
  return (
    <div className={styles.checkRow}>
      <State result={result} />
      <span className={styles.where}>{visible(one.name)}</span>
      <span className={panel.fact}>
        {one.request !== one.name && `${visible(one.request)} · `}
        {t("expects {status}", { status: one.status })}
        {one.expect.length > 0 &&
          t(" and {expect}", { expect: count(t, one.expect.length, "{count} condition", "{count} conditions") })}
        {result?.skipped === null && ` · ${milliseconds(result.elapsed_ms)}`}
      </span>
      {result?.skipped != null && <span className={styles.sentence}>{visible(result.skipped)}</span>}
      {result?.problems.slice(0, MOST_PROBLEMS).map((problem) => (
        <span key={problem} className={styles.error}>
          {visible(problem)}
        </span>
      ))}
    </div>
  );
}

function State({ result }: { result: CheckResult | undefined }): ReactNode {
  const t = useTranslate();
  const [tone, word] = !result
    ? ([undefined, t("not run")] as const)
    : result.skipped !== null
      ? (["warn", "skipped"] as const)
      : result.is_ok
        ? (["good", "ok"] as const)
        : (["bad", "broke"] as const);
  return (
    <span className={panel.badge} data-tone={tone}>
      {word}
    </span>
  );
}
