import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { useTranslate } from "../texts/translate";
import { Button, Notice } from "../ui/controls";
import type { Preview } from "../usePreview";
import { explain, type WayOut } from "./explain";
import styles from "./launch.module.css";

interface ProblemNoticeProps {
  generationId: string;
  nameOf?: ((generationId: string) => string) | undefined;
  onSignIn?: (() => void) | undefined;
  onShowSettings?: (() => void) | undefined;
  onShow?: ((generationId: string) => void) | undefined;
  client: PreviewClient;
  preview: Preview;
  problem: NonNullable<Preview["problem"]>;
}

/** What went wrong with a launch or a stop, and the ways out. */
export function ProblemNotice(props: ProblemNoticeProps): ReactNode {
  const t = useTranslate();
  const { preview, problem, generationId, client } = props;
  const { sentence: said, facts, ways } = explain(t, problem, generationId, props.nameOf);
  const [busy, setBusy] = useState(false);
  const stopAndLaunch = async (other: string): Promise<void> => {
    setBusy(true);
    await client.stop(other).catch(() => undefined);
    setBusy(false);
    await preview.launch();
  };
  const button = (way: WayOut): ReactNode => {
    switch (way.kind) {
      case "stop":
        return (
          <span key={way.previewId} className={styles.ways}>
            {!way.isThis && props.onShow && (
              <Button small onClick={() => props.onShow?.(way.generationId)}>
                {t("Show it")}
              </Button>
            )}
            <Button small disabled={busy} onClick={() => void stopAndLaunch(way.generationId)}>
              {busy
                ? t("Stopping…")
                : way.isThis
                  ? t("Stop it and launch")
                  : t("Stop “{nameOf}”, launch this", { nameOf: props.nameOf?.(way.generationId) ?? way.generationId })}
            </Button>
          </span>
        );
      case "again":
        return (
          <Button key="again" small onClick={() => void preview.again()}>
            {t("Try again")}
          </Button>
        );
      case "sign-in":
        return (
          props.onSignIn && (
            <Button key="sign-in" small onClick={props.onSignIn}>
              {t("Sign in")}
            </Button>
          )
        );
      case "settings":
        return (
          props.onShowSettings && (
            <Button key="settings" small icon="sliders" onClick={props.onShowSettings}>
              {t("Set how it starts")}
            </Button>
          )
        );
      case "none":
        return null;
    }
  };
  return (
    <Notice
      tone="bad"
      role="alert"
      actions={
        <span className={styles.ways}>
          {ways.map(button)}
          <Button small kind="quiet" onClick={preview.dismissProblem}>
            {t("Dismiss")}
          </Button>
        </span>
      }
    >
      {said}
      {facts.map((fact) => (
        <div key={fact}>{fact}</div>
      ))}
    </Notice>
  );
}
