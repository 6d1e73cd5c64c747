import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { listFailures } from "../api/failures";
import { listRecords, type RecordedRequest } from "../api/records";
import { useTranslate } from "../texts/translate";
import { Button, Notice } from "../ui/controls";
import { clockOf, count } from "../ui/format";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./history.module.css";

interface OfLaunch {
  client: PreviewClient;
  generationId: string;
  previewId: string;
}

/** Requests of one launch, the newest first. */
export function LaunchRequests({ client, generationId, previewId }: OfLaunch): ReactNode {
  const t = useTranslate();
  const where = { filter: "", launch: previewId };
  const first = useLoad(`${generationId} ${previewId}`, (signal) => listRecords(client, generationId, where, signal));
  const [older, setOlder] = useState<{ items: RecordedRequest[]; next: number | null } | null>(null);
  const action = useAction();
  const items = [...(first.value?.items ?? []), ...(older?.items ?? [])];
  const next = older ? older.next : (first.value?.next ?? null);
  const load = (): void =>
    void action.run(t("Loading…"), async () => {
      const page = await listRecords(client, generationId, { ...where, before: next });
      setOlder((now) => ({ items: [...(now?.items ?? []), ...page.items], next: page.next }));
      return undefined;
    });
  const problem = first.problem ?? action.problem;
  return (
    <>
      {problem && (
        <Notice tone="bad" role="alert">
          {problem.message}
        </Notice>
      )}
      {!first.value && !problem && <Loading />}
      {first.value && items.length === 0 && (
        <p className={styles.hint}>{t("No request was recorded in this launch.")}</p>
      )}
      {items.length > 0 && (
        <div className={styles.scroll} tabIndex={0} role="region" aria-label={t("Requests of the launch")}>
          <table className={styles.table}>
            <thead>
              <tr>
                <th scope="col">{t("Request")}</th>
                <th scope="col">{t("Status")}</th>
                <th scope="col">{t("ms")}</th>
                <th scope="col">{t("When")}</th>
              </tr>
            </thead>
            <tbody>
              {items.map((one) => (
                <tr key={one.number}>
                  <th scope="row" className={styles.path}>
                    {one.method} {visible(one.target)}
                  </th>
                  <td data-bad={(one.status ?? 500) >= 500}>{one.status ?? one.error ?? t("none")}</td>
                  <td>{one.timing.ended_ms.toFixed(0)}</td>
                  <td>
                    <time dateTime={one.started_at} title={new Date(one.started_at).toLocaleString()}>
                      {clockOf(Date.parse(one.started_at))}
                    </time>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {next !== null && (
        <div className={styles.bar}>
          <Button small onClick={load} disabled={action.busy !== null}>
            {t("Older requests")}
          </Button>
        </div>
      )}
    </>
  );
}

function Loading(): ReactNode {
  const t = useTranslate();
  return (
    <p className={styles.hint} role="status">
      {t("Loading…")}
    </p>
  );
}

/** Failures of one launch, with the lines of its log. */
export function LaunchFailures({
  client,
  generationId,
  previewId,
  onLine,
}: OfLaunch & { onLine: (line: number) => void }): ReactNode {
  const t = useTranslate();
  const { value, problem } = useLoad(`${generationId} ${previewId}`, (signal) =>
    listFailures(client, generationId, signal, previewId),
  );
  return (
    <>
      {problem && (
        <Notice tone="bad" role="alert">
          {problem.message}
        </Notice>
      )}
      {!value && !problem && <Loading />}
      {value?.items.length === 0 && <p className={styles.hint}>{t("Nothing failed in this launch.")}</p>}
      <ul className={styles.list}>
        {value?.items.map((one) => (
          <li key={one.id} className={styles.entry}>
            <div className={styles.entryHead}>
              <span className={styles.failure}>
                {visible(one.type)}: {visible(one.message)}
              </span>
              <Button small onClick={() => onLine(one.last.first_line)}>
                {t("Show in the log")}
              </Button>
            </div>
            <div className={styles.facts}>
              {count(t, one.count, "{count} time", "{count} times")}
              {one.frame && `, ${visible(one.frame.path)}:${one.frame.line}`}
            </div>
          </li>
        ))}
      </ul>
    </>
  );
}
