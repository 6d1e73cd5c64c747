import type { ReactNode } from "react";

import type { LaunchStep } from "../logs/steps";
import { Icon } from "../ui/icons";
import { milliseconds } from "../ui/format";
import styles from "./launch.module.css";

/** The steps of a launch: what is done and when, what is under way, where it broke. */
export function Steps({ steps, isFailed }: { steps: readonly LaunchStep[]; isFailed: boolean }): ReactNode {
  const current = steps.findIndex((step) => step.atMs === null);
  return (
    <ol className={styles.steps} aria-label="Steps of the launch">
      {steps.map((step, at) => {
        const state = step.atMs !== null ? "done" : at !== current ? "ahead" : isFailed ? "failed" : "now";
        return (
          <li
            key={step.name}
            className={styles.step}
            data-state={state}
            {...(state === "now" && { "aria-current": "step" as const })}
          >
            <span className={styles.stepMark} aria-hidden="true">
              {state === "done" && <Icon name="check" size={12} />}
              {state === "failed" && <Icon name="close" size={12} />}
            </span>
            <span className={styles.stepName}>{step.label}</span>
            <span
              className={styles.stepDetail}
              title={step.atMs === null ? "" : `Done ${milliseconds(step.atMs)} after the launch`}
            >
              {detail(step, state)}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

function detail(step: LaunchStep, state: string): string {
  if (step.atMs !== null) return step.detail ?? "";
  return { now: "under way…", failed: "did not happen", ahead: "" }[state] ?? "";
}
