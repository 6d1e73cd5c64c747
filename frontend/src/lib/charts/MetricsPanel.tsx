import { lazy, type ReactNode, Suspense, useEffect } from "react";

import type { PreviewClient } from "../api/client";
import { type Metrics, metricsOf } from "../api/metrics";
import { usePreviewClient } from "../context";
import { useTranslate } from "../texts/translate";
import { Notice } from "../ui/controls";
import { Panel, type PanelProps } from "../ui/Panel";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { usePreview } from "../usePreview";
import { Chart } from "./Chart";
import styles from "./charts.module.css";
import { Reported } from "./Reported";
import { chartsOf, shortNumber } from "./series";

export interface MetricsPanelProps extends PanelProps {
  client?: PreviewClient | undefined;
}

const EVERY_MS = 5_000;
const ProfileSection = lazy(() => import("../profile/ProfileSection"));

/** Memory, processor, requests and latencies of the preview since its launch, and by endpoint. It fills its parent. */
export function MetricsPanel(props: MetricsPanelProps): ReactNode {
  const t = useTranslate();
  const client = usePreviewClient(props.client);
  const { instance } = usePreview(props.generationId, { client, poll: false });
  return (
    <Panel {...props} label={t("Metrics")}>
      <MetricsView client={client} generationId={props.generationId} version={`${instance?.id} ${instance?.status}`} />
    </Panel>
  );
}

interface MetricsViewProps {
  client: PreviewClient;
  generationId: string;
  /** An earlier launch; default: the newest one. */
  previewId?: string;
  /** Read again for another one, such as after a launch. */
  version?: string;
}

/** The charts of one launch. */
export function MetricsView({ client, generationId, previewId, version }: MetricsViewProps): ReactNode {
  const t = useTranslate();
  const { value, problem, refresh } = useLoad(
    `${generationId} ${previewId ?? ""}`,
    (signal) => metricsOf(client, generationId, signal, previewId),
    version,
  );
  const isNone = problem?.code === "no_active_preview";
  // Nothing changes without a live preview; a launch comes with another version.
  const isOver = isNone || value?.is_live === false;
  useEffect(() => {
    if (isOver) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") refresh();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [refresh, isOver]);
  return (
    <div className={styles.panel}>
      {isNone ? (
        <p className={styles.none}>{t("Launch the preview to see its memory, requests and latencies.")}</p>
      ) : (
        problem && <Notice tone="bad">{problem.message}</Notice>
      )}
      {!value && !problem && (
        <p className={styles.none} role="status">
          {t("Loading…")}
        </p>
      )}
      {value && !isNone && (
        <>
          {!value.is_live && previewId === undefined && (
            <p className={styles.none}>{t("The preview has ended; these are its last launch’s measurements.")}</p>
          )}
          <Shown metrics={value} />
          <Reported client={client} generationId={generationId} previewId={value.preview_id} isLive={value.is_live} />
          {value.is_live && previewId === undefined && (
            <Suspense fallback={null}>
              <ProfileSection key={value.preview_id} client={client} generationId={generationId} />
            </Suspense>
          )}
        </>
      )}
    </div>
  );
}

function Shown({ metrics }: { metrics: Metrics }): ReactNode {
  const t = useTranslate();
  const charts = chartsOf(t, metrics);
  return (
    <>
      {metrics.findings.length > 0 && (
        <ul className={styles.findings} aria-label={t("Findings")}>
          {metrics.findings.map((sentence) => (
            <li key={sentence}>{visible(sentence)}</li>
          ))}
        </ul>
      )}
      {charts.map((data) => (
        <Chart key={data.title} data={data} isLive={metrics.is_live} />
      ))}
      <Endpoints metrics={metrics} />
      <details className={styles.table}>
        <summary>{t("Show the values as a table")}</summary>
        <div className={styles.scroll} tabIndex={0} role="region" aria-label={t("Values")}>
          <table>
            <thead>
              <tr>
                <th scope="col">{t("Seconds")}</th>
                {charts.flatMap((data) =>
                  data.lines.map((line) => (
                    <th key={line.name} scope="col">
                      {line.name} ({data.unit})
                    </th>
                  )),
                )}
              </tr>
            </thead>
            <tbody>
              {metrics.points.map((point, at) => (
                <tr key={point.offset_s}>
                  <th scope="row">{shortNumber(point.offset_s)}</th>
                  {charts.flatMap((data) =>
                    data.lines.map((line) => <td key={line.name}>{shortNumber(line.values[at] ?? null)}</td>),
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </>
  );
}

function Endpoints({ metrics }: { metrics: Metrics }): ReactNode {
  const t = useTranslate();
  if (metrics.endpoints.length === 0) return <p className={styles.none}>{t("No requests yet.")}</p>;
  return (
    <div className={styles.scroll} tabIndex={0} role="region" aria-label={t("Endpoints")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("Endpoint")}</th>
            <th scope="col">{t("Calls")}</th>
            <th scope="col">{t("Errors")}</th>
            <th scope="col">p50</th>
            <th scope="col">p95</th>
            <th scope="col">{t("Slowest")}</th>
          </tr>
        </thead>
        <tbody>
          {metrics.endpoints.map((one) => (
            <tr key={one.endpoint}>
              <th scope="row">{visible(one.endpoint)}</th>
              <td>{one.calls.toLocaleString("en")}</td>
              <td data-bad={one.errors > 0}>{one.errors.toLocaleString("en")}</td>
              <td>{t("{p50_ms} ms", { p50_ms: shortNumber(one.p50_ms) })}</td>
              <td>{t("{p95_ms} ms", { p95_ms: shortNumber(one.p95_ms) })}</td>
              <td>{t("{slowest_ms} ms", { slowest_ms: shortNumber(one.slowest_ms) })}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
