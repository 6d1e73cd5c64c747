import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { MetricsView } from "../charts/MetricsPanel";
import type { LogLook } from "../logs/look";
import { WHOLE_LOG } from "../logs/look";
import { PreviewTerminal } from "../terminal/PreviewTerminal";
import { Tabs } from "../ui/Tabs";
import styles from "./history.module.css";
import { LaunchFailures, LaunchRequests } from "./LaunchLists";

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
  ["log", "Log"],
  ["requests", "Requests"],
  ["failures", "Failures"],
  ["metrics", "Metrics"],
] as const;

/** One launch: its log as for the newest one, its requests, failures and measurements. */
export function LaunchView({ client, generationId, place, onPlace, back }: LaunchViewProps): ReactNode {
  const [tab, setTab] = useState<(typeof TABS)[number][0]>("log");
  const { previewId } = place;
  const of = { client, generationId, previewId };
  const onLook = ({ line }: LogLook): void => {
    if (line !== place.line) onPlace({ previewId, line });
  };
  return (
    <div className={styles.launchLog}>
      <div className={styles.bar}>
        {back}
        <span>{previewId}</span>
      </div>
      <Tabs label="Launch" tabs={TABS} tab={tab} onTab={setTab} />
      <div role="tabpanel" aria-label={TABS.find(([name]) => name === tab)?.[1]} className={styles.launchPart}>
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
