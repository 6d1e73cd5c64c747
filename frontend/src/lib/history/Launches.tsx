import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { type Launch, type LaunchList, listLaunches } from "../api/history";
import { useTranslate } from "../texts/translate";
import { Button, Dot, Notice } from "../ui/controls";
import { ago, count, duration } from "../ui/format";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { LaunchDifference } from "./LaunchDifference";
import { type LaunchPlace, LaunchView } from "./LaunchView";
import styles from "./history.module.css";
import { dayAndTime, resultOf, toneOf } from "./words";

interface LaunchesProps {
  client: PreviewClient;
  generationId: string;
  /** The launch that is open; null for the list. */
  place: LaunchPlace | null;
  onPlace: (place: LaunchPlace | null) => void;
}

/** The launches of a generation: results, the log of each, and what differs between two. */
export function Launches({ client, generationId, place, onPlace }: LaunchesProps): ReactNode {
  const t = useTranslate();
  const launches = useLoad(generationId, (signal) => listLaunches(client, generationId, signal));
  const [compared, setCompared] = useState<{ before: Launch; after: Launch } | null>(null);
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [older, setOlder] = useState<LaunchList | null>(null);
  const action = useAction();
  const items = [...(launches.value?.items ?? []), ...(older?.items ?? [])];
  const next = (older ?? launches.value)?.next ?? null;
  const refresh = (): void => {
    setOlder(null);
    launches.refresh();
  };
  const loadOlder = (): void =>
    void action.run(t("Loading…"), async () => {
      const page = await listLaunches(client, generationId, undefined, next);
      setOlder((now) => ({ items: [...(now?.items ?? []), ...page.items], next: page.next }));
      return undefined;
    });
  const problem = launches.problem ?? action.problem;
  const back = (
    <Button small icon="left" onClick={() => (place ? onPlace(null) : setCompared(null))}>
      {t("Launches")}
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
      {problem && (
        <Notice tone="bad" role="alert" actions={<Button onClick={refresh}>{t("Try again")}</Button>}>
          {problem.message}
        </Notice>
      )}
      <div className={styles.bar}>
        <span>
          {launches.value
            ? `${count(t, items.length, "{count} launch", "{count} launches")}${next === null ? "" : t(", and older ones")}`
            : !launches.problem && t("Loading…")}
        </span>
        <Button
          small
          disabled={!before || !after}
          aria-describedby="pv-compare-hint"
          onClick={() => before && after && setCompared({ before, after })}
        >
          {t("Compare two")}
        </Button>
        <Button small onClick={refresh} disabled={launches.isLoading}>
          {t("Refresh")}
        </Button>
      </div>
      <p className={styles.hint} id="pv-compare-hint">
        {items.length === 1 && t("To compare, stop and launch again: a restart is part of the same launch. ")}
        {items.length > 1 && !(before && after) && t("Tick two launches to compare them.")}
      </p>
      {launches.value && items.length === 0 && (
        <p className={styles.hint}>{t("This project has not been launched yet.")}</p>
      )}
      <ul className={styles.list}>
        {items.map((one) => (
          <li key={one.preview_id} className={styles.entry}>
            <div className={styles.entryHead}>
              <input
                type="checkbox"
                aria-label={t("Compare the launch of {created_at}", { created_at: dayAndTime(t, one.created_at) })}
                checked={chosen.includes(one.preview_id)}
                onChange={() => toggle(one.preview_id)}
              />
              <Dot tone={toneOf(one)} />
              <button
                type="button"
                className={styles.title}
                onClick={() => onPlace({ previewId: one.preview_id, line: null })}
              >
                {resultOf(t, one)}, <time dateTime={one.created_at}>{dayAndTime(t, one.created_at)}</time>
                <span className={styles.mark}> {ago(t, one.created_at)}</span>
              </button>
              <Button small onClick={() => onPlace({ previewId: one.preview_id, line: null })}>
                {t("Open")}
              </Button>
            </div>
            <div className={styles.facts}>
              {t("{more}, ran for {life_ms}", {
                more:
                  one.launch_ms === null
                    ? t("Never became healthy")
                    : t("Started in {launch_ms} s", { launch_ms: (one.launch_ms / 1000).toFixed(2) }),
                life_ms: duration(one.life_ms / 1000),
              })}
              {one.version !== null && t(", version {version}", { version: one.version })}
              {one.reloads > 0 &&
                t(", reloaded {reloads}", { reloads: count(t, one.reloads, "{count} time", "{count} times") })}
              , {count(t, one.requests, "{count} request", "{count} requests")},{" "}
              {count(t, one.failures, "{count} failure", "{count} failures")}
              {one.reason && one.status === "failed" && `. ${visible(one.reason)}`}
            </div>
          </li>
        ))}
      </ul>
      {next !== null && (
        <div className={styles.bar}>
          <Button small onClick={loadOlder} disabled={action.busy !== null}>
            {t("Older launches")}
          </Button>
        </div>
      )}
    </>
  );
}
