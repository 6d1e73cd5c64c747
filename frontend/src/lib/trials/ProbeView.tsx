import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { type Probe, type ProbeRow, startProbe, stopProbe } from "../api/probe";
import { useTranslate } from "../texts/translate";
import { Button, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { ago, count, duration } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import { Finding } from "./Finding";
import styles from "./trials.module.css";
import { isRunning, useProbe } from "./useProbe";

const MOST_ROWS = 300;
const MOST_FINDINGS = 100;
const BUDGETS_S = [10, 30, 60] as const;

interface ProbeViewProps {
  client: PreviewClient;
  generationId: string;
  onShowFailure: ((failureId: string) => void) | undefined;
}

/** The probe of a generation: start, progress, matrix of endpoints, findings. */
export function ProbeView({ client, generationId, onShowFailure }: ProbeViewProps): ReactNode {
  const t = useTranslate();
  const found = useProbe(client, generationId);
  const action = useAction();
  const [seconds, setSeconds] = useState(30);
  const probe = found.value?.probe ?? null;
  const isOn = isRunning(probe);
  const start = (): void =>
    void action.run(t("Starting…"), async () => {
      const started = await startProbe(client, generationId, seconds);
      found.put(() => ({ probe: started }));
      found.refresh();
      return undefined;
    });
  const stop = (): void =>
    void action.run(t("Stopping the probe…"), async () => {
      await stopProbe(client, generationId);
      found.refresh();
      return undefined;
    });
  return (
    <div className={panel.scroll}>
      <p className={panel.hint}>
        {t("A probe sends valid and unusual requests to a copy of the preview and its data. Your data stays as it is.")}
      </p>
      <div className={panel.actions}>
        {isOn ? (
          <Button icon="stop" disabled={action.busy !== null} onClick={stop}>
            {t("Stop")}
          </Button>
        ) : (
          <Button kind="primary" icon="play" disabled={action.busy !== null} onClick={start}>
            {probe ? t("Probe again") : t("Probe")}
          </Button>
        )}
        <select
          className={controls.field}
          aria-label={t("Time for the probe")}
          disabled={isOn}
          value={seconds}
          onChange={(event) => setSeconds(Number(event.target.value))}
        >
          {BUDGETS_S.map((one) => (
            <option key={one} value={one}>
              {t("{one} s", { one })}
            </option>
          ))}
        </select>
      </div>
      <News action={action} />
      {found.problem && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            {found.problem.message}
          </Notice>
        </div>
      )}
      {found.value && probe === null && <p className={panel.none}>{t("This project has not been probed yet.")}</p>}
      {probe && <Result probe={probe} isOn={isOn} onShowFailure={onShowFailure} />}
    </div>
  );
}

interface ResultProps {
  probe: Probe;
  isOn: boolean;
  onShowFailure: ((failureId: string) => void) | undefined;
}

function Result({ probe, isOn, onShowFailure }: ResultProps): ReactNode {
  const t = useTranslate();
  const bugs = probe.findings.filter((one) => !one.is_doubtful);
  const doubtful = probe.findings.filter((one) => one.is_doubtful);
  return (
    <>
      {isOn && (
        <div className={panel.pad}>
          <progress
            className={styles.progress}
            max={probe.seconds}
            value={Math.min(probe.elapsed_s, probe.seconds)}
            aria-label={t("Progress of the probe")}
          />
        </div>
      )}
      <p className={panel.hint} role="status">
        {isOn
          ? t("{phase} {requests} so far.", {
              phase: sentence(probe.phase),
              requests: count(t, probe.requests, "{count} request", "{count} requests"),
            })
          : t("{requests} in {elapsed_s}, {started_at}: ", {
              requests: count(t, probe.requests, "{count} request", "{count} requests"),
              elapsed_s: duration(probe.elapsed_s),
              started_at: ago(t, probe.started_at),
            }) +
            `${count(t, bugs.length, "{count} bug", "{count} bugs")}${doubtful.length > 0 ? `, ${count(t, doubtful.length, "{count} possible bug", "{count} possible bugs")}` : ""}.`}
      </p>
      {probe.error !== null && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            {visible(probe.error)}
          </Notice>
        </div>
      )}
      {[...bugs, ...doubtful].slice(0, MOST_FINDINGS).map((one) => (
        <Finding key={one.number} finding={one} onShowFailure={onShowFailure} />
      ))}
      {probe.findings.length > MOST_FINDINGS && (
        <p className={panel.hint}>
          {t("And {findings}.", {
            findings: count(t, probe.findings.length - MOST_FINDINGS, "{count} more finding", "{count} more findings"),
          })}
        </p>
      )}
      {probe.rows.length > 0 && <Matrix rows={probe.rows} />}
      {probe.notes.slice(0, 20).map((note) => (
        <p key={note} className={panel.hint}>
          {visible(note)}
        </p>
      ))}
    </>
  );
}

function sentence(phase: string): string {
  const text = visible(phase);
  return text === "" ? "" : `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

const COLUMNS: readonly (readonly [keyof ProbeRow, string, string])[] = [
  ["ok", "ok", "good"],
  ["client_errors", "4xx", "warn"],
  ["server_errors", "5xx", "bad"],
  ["no_answers", "none", "bad"],
  ["mismatches", "schema", "bad"],
];

/** Endpoints by the answers that they gave. */
function Matrix({ rows }: { rows: readonly ProbeRow[] }): ReactNode {
  const t = useTranslate();
  const shown = rows.slice(0, MOST_ROWS);
  return (
    <section className={panel.section} aria-label={t("Endpoints")}>
      <div className={styles.matrixScroll} role="region" aria-label={t("Endpoint matrix")} tabIndex={0}>
        <table className={styles.matrix}>
          <thead>
            <tr>
              <th scope="col">{t("Endpoint")}</th>
              {COLUMNS.map(([, label]) => (
                <th key={label} scope="col">
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <tr key={`${row.method} ${row.path}`}>
                <th scope="row">
                  {visible(row.method)} {visible(row.path)}
                  {!row.is_reached && <span className={panel.badge}>{t("never reached")}</span>}
                </th>
                {COLUMNS.map(([name, label, tone]) => (
                  <td key={label} data-tone={Number(row[name]) > 0 ? tone : undefined}>
                    {Number(row[name]) > 0 ? Number(row[name]).toLocaleString("en") : "·"}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > shown.length && (
        <p className={panel.hint}>
          {t("And {rows}.", {
            rows: count(t, rows.length - shown.length, "{count} more endpoint", "{count} more endpoints"),
          })}
        </p>
      )}
    </section>
  );
}
