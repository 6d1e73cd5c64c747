import { type ReactNode, useState } from "react";

import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import { count } from "../ui/format";
import type { Preview } from "../usePreview";
import styles from "./launch.module.css";
import { useLaunchTexts } from "./texts";

/** Launch, restart, stop; a stop is confirmed where others watch. */
export function Actions({ preview, state }: { preview: Preview; state: string }): ReactNode {
  const t = useTranslate();
  const [others, setOthers] = useState<number | null>(null);
  const texts = useLaunchTexts();
  const isHeld = preview.busy !== null || preview.isLost;
  const { busy } = preview;
  if (!preview.isLoaded) return null;
  if (others !== null && (state === "running" || state === "starting")) {
    return (
      <span className={styles.confirm} role="alertdialog" aria-label={t("Stop for everybody?")}>
        <span>
          {t("{others} watching. Stop it for everybody?", {
            others: count(t, others, "{count} other is", "{count} others are"),
          })}
        </span>
        <Button autoFocus onClick={() => setOthers(null)}>
          {texts.cancel}
        </Button>
        <Button
          kind="danger"
          onClick={() => {
            setOthers(null);
            void preview.stop();
          }}
        >
          {texts.stop}
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
              aria-label={texts.restart}
              disabled={isHeld}
              onClick={() => void preview.restart()}
            >
              <span>{busy === "restarting" ? texts.restartingNow : texts.restart}</span>
            </Button>
          )}
          <Button kind="danger" icon="stop" disabled={isHeld || state === "stopping"} onClick={() => void askAndStop()}>
            {busy === "stopping" || state === "stopping" ? texts.stoppingNow : texts.stop}
          </Button>
        </>
      ) : (
        <Button kind="primary" icon="play" disabled={busy !== null} onClick={() => void preview.launch()}>
          {busy === "launching" ? texts.launchingNow : state === "none" ? texts.launch : texts.launchAgain}
        </Button>
      )}
    </span>
  );
}
