import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { type Launch, listLaunches } from "../api/history";
import { Button, Dot, Notice } from "../ui/controls";
import { ago, count, duration } from "../ui/format";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { LaunchDifference } from "./LaunchDifference";
import { type LaunchPlace, LaunchView } from "./LaunchView";
import styles from "./history.module.css";

interface LaunchesProps {
  client: PreviewClient;
  generationId: string;
  /** The launch that is open; null for the list. */
  place: LaunchPlace | null;
  onPlace: (place: LaunchPlace | null) => void;
}

/** The launches of a generation: results, the log of each, and what differs between two. */
export function Launches({ client, generationId, place, onPlace }: LaunchesProps): ReactNode {
  const launches = useLoad(generationId, (signal) => listLaunches(client, generationId, signal));
  const [compared, setCompared] = useState<{ before: Launch; after: Launch } | null>(null);
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const items = launches.value?.items ?? [];
  const back = (
    <Button small icon="left" onClick={() => (place ? onPlace(null) : setCompared(null))}>
      Launches
    </Button>
  );
  if (place)
    return <LaunchView client={client} generationId={generationId} place={place} onPlace={onPlace} back={back} />;
  if (compared)
    return (
      <LaunchDifference
        client={client}
        generationId={generationId}
        before={compared.before.preview_id}
        after={compared.after.preview_id}
        back={back}
      />
    );
  // The list has the newest first.
  const [after, before] = items.filter((one) => chosen.includes(one.preview_id));
  const toggle = (id: string): void =>
    setChosen((now) => (now.includes(id) ? now.filter((one) => one !== id) : [...now, id].slice(-2)));
  return (
    <>
      {launches.problem && (
        <Notice tone="bad" role="alert" actions={<Button onClick={launches.refresh}>Try again</Button>}>
          {launches.problem.message}
        </Notice>
      )}
      <div className={styles.bar}>
        <span>{launches.value ? count(items.length, "launch", "launches") : "Loading…"}</span>
        <Button
          small
          disabled={!before || !after}
          aria-describedby="pv-compare-hint"
          onClick={() => before && after && setCompared({ before, after })}
        >
          Compare two
        </Button>
        <Button small onClick={launches.refresh} disabled={launches.isLoading}>
          Refresh
        </Button>
      </div>
      <p className={styles.hint} id="pv-compare-hint">
        {items.length === 1 && "To compare, stop and launch again: a restart goes on in the same launch. "}
        {items.length > 1 && !(before && after) && "Tick two launches to compare them."}
      </p>
      {launches.value && items.length === 0 && <p className={styles.hint}>This project was never launched.</p>}
      <ul className={styles.list}>
        {items.map((one) => (
          <li key={one.preview_id} className={styles.entry}>
            <div className={styles.entryHead}>
              <input
                type="checkbox"
                aria-label={`Compare the launch of ${ago(one.created_at)}`}
                checked={chosen.includes(one.preview_id)}
                onChange={() => toggle(one.preview_id)}
              />
              <Dot tone={toneOf(one)} />
              <button
                type="button"
                className={styles.title}
                onClick={() => onPlace({ previewId: one.preview_id, line: null })}
              >
                {resultOf(one)}, {ago(one.created_at)}
              </button>
              <Button small onClick={() => onPlace({ previewId: one.preview_id, line: null })}>
                Open
              </Button>
            </div>
            <div className={styles.facts}>
              {one.launch_ms === null ? "Never answered" : `Started in ${(one.launch_ms / 1000).toFixed(2)} s`}, lived{" "}
              {duration(one.life_ms / 1000)}
              {one.version !== null && `, version ${one.version}`}
              {one.reloads > 0 && `, restarted ${count(one.reloads, "time")}`}, {count(one.requests, "request")},{" "}
              {count(one.failures, "failure")}
              {one.reason && one.status === "failed" && `. ${visible(one.reason)}`}
            </div>
          </li>
        ))}
      </ul>
      {launches.value?.next != null && (
        <p className={styles.hint}>There are older launches; “preview launches GEN” lists up to 200.</p>
      )}
    </>
  );
}

function resultOf(one: Launch): string {
  if (one.status === "failed") return one.exit_code === null ? "Failed" : `Failed with exit code ${one.exit_code}`;
  if (one.status !== "stopped") return one.status === "running" ? "Running" : "Starting or stopping";
  return (
    { expired: "Expired", inactive: "Stopped when idle", shutdown: "Ended with the service" }[one.cause ?? ""] ??
    "Stopped"
  );
}

function toneOf(one: Launch): "good" | "busy" | "bad" | "idle" {
  if (one.status === "failed") return "bad";
  if (one.status === "running") return "good";
  return one.status === "stopped" ? "idle" : "busy";
}
