import { type ReactNode, useEffect } from "react";

import { type CheckResult, readChecks, runChecks } from "../api/checks";
import type { PreviewClient } from "../api/client";
import { Button, Notice } from "../ui/controls";
import { ago, count } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { useLogSession, useLogSnapshot } from "../usePreviewLogs";
import styles from "./trials.module.css";

const MOST = 500;
const TONES = { ok: "good", broke: "bad", skipped: "warn", unknown: undefined } as const;

interface ChecksViewProps {
  client: PreviewClient;
  generationId: string;
  isRunning: boolean;
}

/** The checks beside the code, with the result of the last run. */
export function ChecksView({ client, generationId, isRunning }: ChecksViewProps): ReactNode {
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
    void action.run("Running the checks…", async () => {
      const result = await runChecks(client, generationId);
      found.put(() => result);
      return undefined;
    });
  const checks = found.value;
  return (
    <div className={panel.scroll}>
      <p className={panel.hint}>
        Checks are requests with their expected answers, in preview.checks.toml beside the code. They run after each
        reload.
      </p>
      <div className={panel.actions}>
        <Button
          kind="primary"
          icon="play"
          disabled={!isRunning || action.busy !== null || (checks?.items.length ?? 0) === 0}
          onClick={run}
        >
          Run now
        </Button>
        <span className={panel.fact} role="status">
          {checks &&
            (checks.summary !== null
              ? `${visible(checks.summary)}${checks.ran_at !== null ? `, ${ago(checks.ran_at)}` : ""}`
              : count(checks.items.length, "check"))}
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
      {checks?.items.length === 0 && (
        <p className={panel.none}>There are no checks. Open a recorded request and choose “Save as check”.</p>
      )}
      <ul className={panel.list}>
        {checks?.items.slice(0, MOST).map((one) => (
          <li key={one.name} className={styles.finding}>
            <Row one={one} />
          </li>
        ))}
      </ul>
    </div>
  );
}

function Row({ one }: { one: CheckResult }): ReactNode {
  return (
    <div className={styles.checkRow}>
      <span className={panel.badge} data-tone={TONES[one.state]}>
        {one.state === "unknown" ? "not run" : one.state}
      </span>
      <span className={styles.where}>{visible(one.name)}</span>
      <span className={panel.fact}>
        {visible(one.method)} {visible(one.target)}
      </span>
      {one.reason !== null && <span className={styles.sentence}>{visible(one.reason)}</span>}
    </div>
  );
}
