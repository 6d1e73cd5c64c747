import type { ReactNode } from "react";

import type { Flag } from "../../api/flags";
import { Button, Notice } from "../../ui/controls";
import { visible } from "../../ui/visible";
import type { Change } from "./ChangeQuestion";
import { contentOf } from "./rules";

interface LaunchSwitchProps {
  flag: Flag;
  isBusy: boolean;
  onAsk: (change: Change) => void;
}

/** The kill switch: stops new launches for everyone, or allows them again. */
export function LaunchSwitch({ flag, isBusy, onAsk }: LaunchSwitchProps): ReactNode {
  const rest = flag.value ?? flag.default;
  const isStopped = rest === "off" && flag.rules.every((rule) => rule.value === "off");
  const isPartly = !isStopped && (rest === "off" || flag.rules.some((rule) => rule.value === "off"));
  const resume = (): void =>
    onAsk({
      flag,
      content: { value: null, rules: [], reason: "" },
      title: "Allow launches again?",
      text: "Everyone can launch previews again at once.",
      action: "Allow launches",
      kind: "primary",
    });
  const stop = (): void =>
    onAsk({
      flag,
      content: { ...contentOf(flag), value: "off", rules: [] },
      title: "Stop all new launches?",
      text: "Nobody can launch a preview until you allow it again. Running previews keep running.",
      action: "Stop launches",
      kind: "danger",
      withReason: true,
    });
  return (
    <Notice
      tone={isStopped ? "bad" : isPartly ? "warn" : "info"}
      actions={
        <>
          {(isStopped || isPartly) && (
            <Button small icon="play" disabled={isBusy} onClick={resume}>
              Allow launches
            </Button>
          )}
          {!isStopped && (
            <Button small kind="danger" icon="stop" disabled={isBusy} onClick={stop}>
              Stop launches
            </Button>
          )}
        </>
      }
    >
      <strong>
        {isStopped
          ? "Launches are stopped."
          : isPartly
            ? "Launches are stopped for some users."
            : "Launches are allowed."}
      </strong>
      {flag.reason && <> Users see: “{visible(flag.reason)}”</>}
    </Notice>
  );
}
