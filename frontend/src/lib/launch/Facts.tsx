import type { ReactNode } from "react";

import type { PreviewClient } from "../api/client";
import type { PreviewInstance } from "../api/types";
import { useTranslate, type Translate } from "../texts/translate";
import { classes, CopyButton } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { duration } from "../ui/format";
import { Icon } from "../ui/icons";
import { visible } from "../ui/visible";
import { useNow } from "../ui/useNow";
import type { Preview } from "../usePreview";
import { Browse } from "./Browse";
import styles from "./launch.module.css";
import { Plot } from "./Plot";
import { useLaunchTexts } from "./texts";

/** Near the end, an extension is offered more plainly. */
const SOON_S = 300;
const EXTENSION_S = 1800;

interface FactsProps {
  preview: Preview;
  instance: PreviewInstance;
  health: string;
  /** Whether the service does not answer: then nothing of this is known now. */
  isLost: boolean;
  /** Called to show the measurements of the preview's whole life. */
  onShowMetrics?: (() => void) | undefined;
}

interface AddressProps {
  client: PreviewClient;
  instance: PreviewInstance;
  state: string;
  isLost: boolean;
}

/** The address of a preview that is on: copied, opened, shared, explained. */
export function Address(props: AddressProps): ReactNode {
  const { client, instance, state, isLost } = props;
  const texts = useLaunchTexts();
  if (instance.base_url === null) return null;
  return (
    <div className={styles.address}>
      <Icon name="link" />
      {state === "running" && !isLost ? (
        <a href={instance.base_url} target="_blank" rel="noreferrer">
          {instance.base_url}
        </a>
      ) : (
        <span>{instance.base_url}</span>
      )}
      <CopyButton text={instance.base_url} label={texts.copyAddress} />
      <Browse
        client={client}
        generationId={instance.generation_id}
        disabled={isLost || state !== "running"}
        address={instance.base_url}
        expiresAt={instance.expires_at}
      />
    </div>
  );
}

/** What is known of a preview that is on: health and life, memory and CPU. */
export function Facts(props: FactsProps): ReactNode {
  const t = useTranslate();
  const { preview, instance, health, isLost, onShowMetrics } = props;
  const texts = useLaunchTexts();
  const healthWords: Record<string, string> = { healthy: texts.healthy, unhealthy: texts.unhealthy };
  const now = useNow(1_000, !isLost);
  const left = (Date.parse(instance.expires_at) - now) / 1_000;
  const up = instance.started_at === null ? null : (now - Date.parse(instance.started_at)) / 1_000;
  const last = isLost ? undefined : preview.usage.at(-1);
  // Before its first measurement a process has taken nothing.
  const isMeasured = last !== undefined && last.memoryMb > 0;
  const isLongest = isLongestLife(instance, preview.longestLifeS);
  const isSoon = left < SOON_S;
  const crash = isLost ? null : preview.status?.crash;
  return (
    <div className={styles.facts}>
      <dl className={styles.numbers}>
        <div>
          <dt>{texts.health}</dt>
          <dd data-health={isLost ? "unknown" : health}>
            {isLost ? texts.unknown : (healthWords[health] ?? texts.checking)}
          </dd>
        </div>
        <div>
          <dt>{texts.up}</dt>
          <dd>{isLost || up === null ? "–" : duration(up)}</dd>
        </div>
        <div>
          <dt>{texts.endsIn}</dt>
          <dd data-soon={isSoon && !isLost} title={isLongest ? texts.longest : undefined}>
            {isLost ? "–" : lifeLeft(t, left, isSoon)}
            <button
              type="button"
              className={classes(controls.button, controls.small, styles.extend)}
              disabled={preview.busy !== null || isLost || isLongest}
              title={isLongest ? texts.longest : texts.extend}
              onClick={() => void preview.extend(EXTENSION_S)}
            >
              {texts.longer}
            </button>
          </dd>
        </div>
        {crash && (
          <div>
            <dt>{t("Crashes")}</dt>
            <dd data-health="unhealthy" title={t("Last crash: {reason}", { reason: visible(crash.reason) })}>
              {crash.is_restarting ? t("{count}, starting again…", { count: crash.count }) : String(crash.count)}
            </dd>
          </div>
        )}
        <Plot
          label={texts.memory}
          value={isMeasured ? t("{round} MB", { round: Math.round(last.memoryMb) }) : "–"}
          values={preview.usage.map((one) => one.memoryMb)}
          top={64}
          onOpen={onShowMetrics}
        />
        <Plot
          label={texts.cpu}
          value={isMeasured ? `${last.cpuPercent.toFixed(last.cpuPercent < 10 ? 1 : 0)} %` : "–"}
          values={preview.usage.map((one) => one.cpuPercent)}
          top={25}
          onOpen={onShowMetrics}
        />
      </dl>
    </div>
  );
}

/** Whether nothing is left to add, as far as a refusal has told. */
function isLongestLife(instance: PreviewInstance, longestS: number | null): boolean {
  if (longestS === null) return false;
  return Date.parse(instance.expires_at) >= Date.parse(instance.created_at) + longestS * 1_000 - 1_000;
}

/** Seconds count only when the end is near. */
function lifeLeft(t: Translate, seconds: number, isSoon: boolean): string {
  if (seconds <= 0) return t("now");
  return duration(isSoon ? seconds : seconds - (seconds % 60)).replace(/ 00 s$/, "");
}
