import { type ReactNode, useState } from "react";

import { Button } from "../ui/controls";
import { count } from "../ui/format";
import type { Preview } from "../usePreview";
import styles from "./launch.module.css";

/** Launch, restart, stop; a stop is confirmed where others watch. */
export function Actions({ preview, state }: { preview: Preview; state: string }): ReactNode {
  const [others, setOthers] = useState<number | null>(null);
  const isHeld = preview.busy !== null || preview.isLost;
  const { busy } = preview;
  if (!preview.isLoaded) return null;
  if (others !== null && (state === "running" || state === "starting")) {
    return (
      <span className={styles.confirm} role="alertdialog" aria-label="Stop for everybody?">
        <span>{count(others, "other is", "others are")} watching. Stop it for everybody?</span>
        <Button autoFocus onClick={() => setOthers(null)}>
          Cancel
        </Button>
        <Button
          kind="danger"
          onClick={() => {
            setOthers(null);
            void preview.stop();
          }}
        >
          Stop
        </Button>
      </span>
    );
  }
  const askAndStop = async (): Promise<void> => {
    // This browser's tabs share one stream; a further one is somebody else's.
    const watching = await preview.countWatchers().catch(() => 0);
    if (watching > 1) setOthers(watching - 1);
    else await preview.stop();
  };
  const isOn = state === "starting" || state === "running";
  return (
    <span className={styles.actions}>
      {isOn || state === "stopping" ? (
        <>
          {state === "running" && (
            <Button
              icon="restart"
              className={styles.restart}
              aria-label="Restart"
              disabled={isHeld}
              onClick={() => void preview.restart()}
            >
              <span>{busy === "restarting" ? "Restarting…" : "Restart"}</span>
            </Button>
          )}
          <Button kind="danger" icon="stop" disabled={isHeld || state === "stopping"} onClick={() => void askAndStop()}>
            {busy === "stopping" || state === "stopping" ? "Stopping…" : "Stop"}
          </Button>
        </>
      ) : (
        <Button kind="primary" icon="play" disabled={busy !== null} onClick={() => void preview.launch()}>
          {busy === "launching" ? "Launching…" : state === "none" ? "Launch" : "Launch again"}
        </Button>
      )}
    </span>
  );
}
