import type { ReactNode } from "react";

import type { PreviewClient } from "../api/client";
import { compareLaunches, type LaunchComparison } from "../api/history";
import { stepLabel } from "../launch/stepLabel";
import { useTranslate, type Translate } from "../texts/translate";
import { Notice } from "../ui/controls";
import { duration, milliseconds } from "../ui/format";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./history.module.css";
import { dayAndTime, resultOf } from "./words";

interface LaunchDifferenceProps {
  client: PreviewClient;
  generationId: string;
  before: string;
  after: string;
  back: ReactNode;
}

/** Two launches side by side: results, steps, settings, endpoints and failures. */
export function LaunchDifference({ client, generationId, before, after, back }: LaunchDifferenceProps): ReactNode {
  const t = useTranslate();
  const found = useLoad(`${generationId} ${before} ${after}`, (signal) =>
    compareLaunches(client, generationId, after, before, signal),
  );
  return (
    <>
      <div className={styles.bar}>{back}</div>
      {found.problem && (
        <Notice tone="bad" role="alert">
          {found.problem.message}
        </Notice>
      )}
      {!found.value && !found.problem && (
        <p className={styles.hint} role="status">
          {t("Loading the comparison…")}
        </p>
      )}
      {found.value && <Comparison found={found.value} />}
    </>
  );
}

type Row = readonly [string, string, string];

function Comparison({ found }: { found: LaunchComparison }): ReactNode {
  const t = useTranslate();
  const rows: Row[] = [
    [t("Launched"), dayAndTime(t, found.before.created_at), dayAndTime(t, found.after.created_at)],
    [t("Result"), resultOf(t, found.before), resultOf(t, found.after)],
    [t("Version"), known(found.before.version), known(found.after.version)],
    [t("Life"), duration(found.before.life_ms / 1000), duration(found.after.life_ms / 1000)],
    ...found.steps.map((one): Row => [stepLabel(t, one.name), took(one.before_ms), took(one.after_ms)]),
    ...found.settings.map((one): Row => [one.name, known(one.before), known(one.after)]),
    [t("Requests"), String(found.before.requests), String(found.after.requests)],
    [t("Failures"), String(found.before.failures), String(found.after.failures)],
    ...found.endpoints.map((one): Row => [one.endpoint, timesOf(t, one.before), timesOf(t, one.after)]),
  ];
  return (
    <>
      <div className={styles.scroll} tabIndex={0} role="region" aria-label={t("Comparison of two launches")}>
        <table className={styles.table}>
          <thead>
            <tr>
              <th scope="col">{t("Item")}</th>
              <th scope="col">{t("Before")}</th>
              <th scope="col">{t("After")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, one, other], at) => (
              <tr key={at} data-differs={one !== other}>
                <th scope="row">{visible(name)}</th>
                <td>{visible(one)}</td>
                <td>{visible(other)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Failures title={t("New failures")} failures={found.new_failures} />
      <Failures title={t("Failures no longer seen")} failures={found.gone_failures} />
    </>
  );
}

function Failures({ title, failures }: { title: string; failures: LaunchComparison["new_failures"] }): ReactNode {
  if (failures.length === 0) return null;
  return (
    <section aria-label={title} className={styles.failures}>
      <h3>{title}</h3>
      <ul>
        {failures.map((one) => (
          <li key={one.id}>
            {visible(one.type)}: {visible(one.message)} ({one.count})
          </li>
        ))}
      </ul>
    </section>
  );
}

function known(value: number | string | null): string {
  return value === null ? "–" : String(value);
}

function took(value: number | null): string {
  return value === null ? "–" : milliseconds(value);
}

function timesOf(t: Translate, one: LaunchComparison["endpoints"][number]["before"]): string {
  if (one === null) return "–";
  const errors = one.errors > 0 ? t(", {errors} failed", { errors: one.errors }) : "";
  return `${one.requests} × ${milliseconds(one.p50_ms)} (p95 ${milliseconds(one.p95_ms)})${errors}`;
}
