import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { readLaunch } from "../api/history";
import { MetricsView } from "../charts/MetricsPanel";
import type { LogLook } from "../logs/look";
import { WHOLE_LOG } from "../logs/look";
import { PreviewTerminal } from "../terminal/PreviewTerminal";
import { useTranslate, english } from "../texts/translate";
import { CopyButton, Dot, Notice } from "../ui/controls";
import { duration } from "../ui/format";
import { Tabs } from "../ui/Tabs";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./history.module.css";
import { LaunchFailures, LaunchRequests } from "./LaunchLists";
import { dayAndTime, resultOf, toneOf } from "./words";

/** A launch that is shown, and a line of its log that is chosen. */
export interface LaunchPlace {
  previewId: string;
  line: number | null;
}

interface LaunchViewProps {
  client: PreviewClient;
  generationId: string;
  place: LaunchPlace;
  onPlace: (place: LaunchPlace) => void;
  back: ReactNode;
}

const TABS = [
  ["log", english("Log")],
  ["requests", english("Requests")],
  ["failures", english("Failures")],
  ["metrics", english("Metrics")],
] as const;

/** One launch: its log as for the newest one, its requests, failures and measurements. */
export function LaunchView({ client, generationId, place, onPlace, back }: LaunchViewProps): ReactNode {
  const t = useTranslate();
  const [tab, setTab] = useState<(typeof TABS)[number][0]>("log");
  const { previewId } = place;
  const of = { client, generationId, previewId };
  const launch = useLoad(`${generationId} ${previewId}`, (signal) =>
    readLaunch(client, generationId, previewId, signal),
  );
  const onLook = ({ line }: LogLook): void => {
    if (line !== place.line) onPlace({ previewId, line });
  };
  return (
    <div className={styles.launchLog}>
      <div className={styles.bar}>
        {back}
        <span className={styles.launchHead}>
          {launch.value ? (
            <>
              <Dot tone={toneOf(launch.value)} /> {resultOf(t, launch.value)},{" "}
              <time dateTime={launch.value.created_at}>{dayAndTime(t, launch.value.created_at)}</time>
              {t(", ran for {life_ms}", { life_ms: duration(launch.value.life_ms / 1000) })}
              {launch.value.version !== null && t(", version {version}", { version: launch.value.version })}
            </>
          ) : (
            <span role="status">{launch.problem ? t("Unknown launch") : t("Loading the launch…")}</span>
          )}
        </span>
        <CopyButton text={previewId} label={t("Copy the launch's id")} />
      </div>
      {launch.problem && (
        <Notice tone="bad" role="alert">
          {launch.problem.message}
        </Notice>
      )}
      {launch.value?.status === "failed" && launch.value.reason && (
        <p className={styles.hint} data-tone="bad">
          {visible(launch.value.reason)}
        </p>
      )}
      <Tabs
        label={t("Launch")}
        tabs={TABS.map(([name, words]) => [name, t(words)] as const)}
        tab={tab}
        onTab={setTab}
      />
      <div
        role="tabpanel"
        aria-label={t(TABS.find(([name]) => name === tab)?.[1] ?? TABS[0][1])}
        className={styles.launchPart}
      >
        {tab === "log" && (
          <PreviewTerminal
            client={client}
            generationId={generationId}
            launch={previewId}
            look={{ ...WHOLE_LOG, line: place.line }}
            onLook={onLook}
          />
        )}
        {tab === "requests" && <LaunchRequests {...of} />}
        {tab === "failures" && (
          <LaunchFailures
            {...of}
            onLine={(line) => {
              onPlace({ previewId, line });
              setTab("log");
            }}
          />
        )}
        {tab === "metrics" && <MetricsView {...of} />}
      </div>
    </div>
  );
}
