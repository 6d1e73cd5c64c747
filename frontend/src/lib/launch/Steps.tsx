import { type ReactNode, useState } from "react";

import type { LaunchStep } from "../logs/steps";
import { useTranslate, type Translate } from "../texts/translate";
import { Icon } from "../ui/icons";
import { milliseconds } from "../ui/format";
import styles from "./launch.module.css";
import { stepLabel } from "./stepLabel";
import marks from "./steps.module.css";
import { type LaunchText, useLaunchTexts } from "./texts";

/** What of the launch is known: nothing has started, it is under way, it is over and did not get there. */
export type StepsPhase = "ahead" | "launching" | "broken";

/** The steps of a launch: what is done and when, what is under way, where it broke. */
export function Steps(props: {
  steps: readonly LaunchStep[];
  phase: StepsPhase;
  /** Whether they are no news any more: then they are one line, until somebody asks for them. */
  isOver?: boolean;
}): ReactNode {
  const t = useTranslate();
  const { steps, phase, isOver = false } = props;
  const [isOpen, setOpen] = useState(false);
  const texts = useLaunchTexts();
  const current = steps.findIndex((step) => step.state === "waiting" || step.state === "running");
  // After a reload of the page, an ended launch may have no steps any more: then none of them is said to have failed.
  const isTold = steps.every((step) => step.state === "waiting") || steps.some((step) => step.state === "failed");
  if (isOver && !isOpen) {
    const last = steps.findLast((step) => step.atMs !== null);
    return (
      <button type="button" className={styles.stepsOver} aria-expanded="false" onClick={() => setOpen(true)}>
        {last?.atMs == null ? texts.steps : t("Launched in {atMs}", { atMs: milliseconds(last.atMs) })}
        <Icon name="down" size={12} />
      </button>
    );
  }
  return (
    <ol className={styles.steps} aria-label={texts.steps}>
      {steps.map((step, at) => {
        const look = lookOf(step, at === current, phase, isTold);
        return (
          <li
            key={step.name}
            className={marks.step}
            data-state={look}
            {...(look === "now" && { "aria-current": "step" as const })}
          >
            <span className={marks.stepMark} aria-hidden="true">
              {look === "done" && <Icon name="check" size={12} />}
              {look === "failed" && <Icon name="close" size={12} />}
            </span>
            <span className={marks.stepName}>{stepLabel(t, step.name)}</span>
            <span className={marks.stepDetail} title={title(t, step)}>
              {detail(t, step, look, texts)}
              {step.state === "done" && step.detail && <span className={marks.stepMore}> ({step.detail})</span>}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

type Look = "done" | "failed" | "now" | "ahead";

function lookOf(step: LaunchStep, isCurrent: boolean, phase: StepsPhase, isTold: boolean): Look {
  if (step.state === "done" || step.state === "failed") return step.state;
  if (phase === "launching") return isCurrent || step.state === "running" ? "now" : "ahead";
  // Where no step has said itself that it failed, it is the one that the launch was at.
  return phase === "broken" && isCurrent && !isTold ? "failed" : "ahead";
}

function title(t: Translate, step: LaunchStep): string {
  const after = step.atMs === null ? "" : t("done {atMs} after the launch", { atMs: milliseconds(step.atMs) });
  return [step.detail ?? "", after].filter(Boolean).join(", ");
}

function detail(t: Translate, step: LaunchStep, look: Look, texts: Record<LaunchText, string>): string {
  if (step.state === "done" && step.elapsedMs !== null) return milliseconds(step.elapsedMs);
  if (step.state === "stopped") return t("stopped");
  if (step.detail) return step.detail;
  return { now: texts.inProgress, failed: texts.notReached, ahead: "", done: "" }[look];
}
