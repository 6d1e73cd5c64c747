import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../../api/client";
import { type Flag, type FlagArm, flagArms } from "../../api/flags";
import { Button, Notice } from "../../ui/controls";
import controls from "../../ui/controls.module.css";
import { useLoad } from "../../ui/useLoad";
import { visible } from "../../ui/visible";
import { RecordTable } from "../RecordTable";
import type { Change } from "./ChangeQuestion";
import styles from "./flags.module.css";
import { canaryOf, finished, STEPS, whyNot, withShare } from "./rules";
import { FLAG_WORDS } from "./words";

const SPANS: readonly [hours: number, words: string][] = [
  [1, "the last hour"],
  [24, "the last 24 hours"],
  [168, "the last 7 days"],
];

interface CanaryViewProps {
  client: PreviewClient;
  flag: Flag;
  isBusy: boolean;
  onAsk: (change: Change) => void;
}

/** A new value for 5, 25, 50 and 100 % of the users, and how launches with each value went, side by side. */
export function CanaryView({ client, flag, isBusy, onAsk }: CanaryViewProps): ReactNode {
  const canary = canaryOf(flag);
  const others = flag.values.filter((one) => one !== (flag.value ?? flag.default));
  const [chosen, setChosen] = useState("");
  const [isOpen, setOpen] = useState(canary !== null);
  const [hours, setHours] = useState(24);
  const title = FLAG_WORDS[flag.name]?.[0] ?? flag.name;
  const key = isOpen ? `${flag.name} ${flag.version} ${hours}` : null;
  const arms = useLoad(key, (signal) => flagArms(client, flag.name, hours, signal));
  const value = canary?.value ?? (others.includes(chosen) ? chosen : others[0]);
  if (value === undefined) return null;
  const give = (percent: number): void => {
    const grows = percent > (canary?.percent ?? 0);
    onAsk({
      flag,
      content: withShare(flag, value, percent),
      title: `Roll out ${value} to ${percent} % of users?`,
      action: `Roll out to ${percent} %`,
      kind: "primary",
      warning: grows ? whyNot(canary, arms.value?.items ?? []) : null,
    });
  };
  return (
    <details className={styles.canary} open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Gradual rollout and comparison</summary>
      <div className={styles.canaryBody}>
        <div className={styles.row}>
          {canary ? (
            <span>
              <strong>{visible(value)}</strong> for
            </span>
          ) : (
            <label className={styles.inline}>
              New value
              <select
                className={controls.field}
                aria-label={`New value of ${title}`}
                value={value}
                onChange={(event) => setChosen(event.target.value)}
              >
                {others.map((one) => (
                  <option key={one}>{one}</option>
                ))}
              </select>
            </label>
          )}
          <div className={styles.steps} role="group" aria-label={`Share of users with ${value}`}>
            {STEPS.map((step) => (
              <Button
                key={step}
                small
                aria-pressed={canary?.percent === step}
                disabled={isBusy}
                onClick={() => canary?.percent !== step && give(step)}
              >
                {step} %
              </Button>
            ))}
          </div>
          {canary?.percent === 100 && (
            <Button
              small
              kind="primary"
              disabled={isBusy}
              onClick={() =>
                onAsk({
                  flag,
                  content: finished(flag, canary),
                  title: `Make ${value} the value for everyone?`,
                  action: "Set for everyone",
                  kind: "primary",
                })
              }
            >
              Finish
            </Button>
          )}
        </div>
        {canary !== null && !STEPS.some((step) => step === canary.percent) && (
          <p className={styles.muted}>Now {canary.percent} % of users.</p>
        )}
        <label className={styles.inline}>
          Launches in
          <select
            className={controls.field}
            aria-label={`Launches of ${title}`}
            value={hours}
            onChange={(event) => setHours(Number(event.target.value))}
          >
            {SPANS.map(([one, words]) => (
              <option key={one} value={one}>
                {words}
              </option>
            ))}
          </select>
        </label>
        {arms.problem && (
          <Notice tone="bad" role="alert">
            {arms.problem.message}
          </Notice>
        )}
        {arms.value?.items.length === 0 && (
          <p className={styles.muted}>
            No launches to compare yet. Launches are counted once any of these flags has been changed.
          </p>
        )}
        {arms.value !== null && arms.value.items.length > 0 && (
          <RecordTable
            title={`Launches by ${title.toLowerCase()}`}
            heads={["Value", "Launches", "Failed", "Failure rate", "Median time", "95 % within"]}
            rows={arms.value.items.map(cellsOf)}
          />
        )}
        {arms.value?.sentences.map((one, at) => (
          <p key={at}>{visible(one)}</p>
        ))}
      </div>
    </details>
  );
}

function cellsOf(arm: FlagArm): ReactNode[] {
  const time = (ms: number | null): string => (ms === null ? "–" : `${ms} ms`);
  const rate = arm.failure_rate === null ? "–" : `${(100 * arm.failure_rate).toFixed(1)} %`;
  return [visible(arm.value), arm.launches, arm.failed, rate, time(arm.median_ms), time(arm.p95_ms)];
}
