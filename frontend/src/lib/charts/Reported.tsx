import { type ReactNode, useEffect } from "react";

import type { PreviewClient } from "../api/client";
import { reportedMetricsOf, type ReportedSeries } from "../api/metrics";
import { type Translate, useTranslate } from "../texts/translate";
import { count } from "../ui/format";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./charts.module.css";
import { shortNumber } from "./series";

interface ReportedProps {
  client: PreviewClient;
  generationId: string;
  previewId: string;
  isLive: boolean;
}

const EVERY_MS = 5_000;

/** The metrics that the program itself reports by OpenTelemetry; nothing without any. */
export function Reported({ client, generationId, previewId, isLive }: ReportedProps): ReactNode {
  const t = useTranslate();
  const { value, refresh } = useLoad(
    `${generationId} ${previewId}`,
    (signal) => reportedMetricsOf(client, generationId, signal, previewId),
    String(isLive),
  );
  const isChanging = isLive && value?.receiving === true;
  useEffect(() => {
    if (!isChanging) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") refresh();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [refresh, isChanging]);
  if (!value || (value.items.length === 0 && value.dropped === 0)) return null;
  return (
    <details className={styles.table}>
      <summary>{t("Metrics that the program reports ({count})", { count: value.items.length })}</summary>
      {value.dropped > 0 && (
        <p className={styles.none}>
          {count(
            t,
            value.dropped,
            "{count} value was dropped: too many, too fast, or not a number.",
            "{count} values were dropped: too many, too fast, or not numbers.",
          )}
        </p>
      )}
      <div className={styles.scroll} tabIndex={0} role="region" aria-label={t("Reported metrics")}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t("Metric")}</th>
              <th scope="col">{t("Value")}</th>
              <th scope="col">{t("Unit")}</th>
            </tr>
          </thead>
          <tbody>
            {value.items.map((one) => (
              <tr key={nameOf(one)}>
                <th scope="row">{visible(nameOf(one))}</th>
                <td>{valueOf(t, one)}</td>
                <td>{visible(one.unit)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function nameOf(series: ReportedSeries): string {
  const pairs = Object.entries(series.attributes).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? series.name : `${series.name} {${pairs.join(", ")}}`;
}

function valueOf(t: Translate, series: ReportedSeries): string {
  if (series.count === null) return shortNumber(series.value);
  const mean = series.sum === null || series.count === 0 ? null : series.sum / series.count;
  return t("{values} values, mean {mean}, maximum {most}", {
    values: series.count.toLocaleString("en"),
    mean: shortNumber(mean),
    most: shortNumber(series.max),
  });
}
