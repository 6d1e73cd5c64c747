import { type CSSProperties, type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";

import type { PreviewClient } from "../api/client";
import { usePreviewClient } from "../context";
import { useTranslate, english, TextsProvider } from "../texts/translate";
import { Contained } from "../ui/Contained";
import { Announce, Button, classes, Dot, IconButton, Notice } from "../ui/controls";
import { colorScheme, type ThemeChoice } from "../ui/theme";
import tokens from "../ui/tokens.module.css";
import { visible } from "../ui/visible";
import { isActive, type Preview, usePreview } from "../usePreview";
import { launchSteps } from "../logs/steps";
import { useLogSession, useLogSnapshot } from "../usePreviewLogs";
import { Actions } from "./Actions";
import { whyFailed, whyStopped } from "./ending";
import { Address, Facts } from "./Facts";
import { heldIn } from "./held";
import styles from "./launch.module.css";
import { ProblemNotice } from "./ProblemNotice";
import { Steps, type StepsPhase } from "./Steps";
import { type LaunchText, type LaunchTexts, LaunchTextsProvider, useLaunchTexts } from "./texts";

export interface LaunchPanelProps {
  generationId: string;
  /** What people call it. */
  name?: string;
  /** What people call another generation that is in the way. */
  nameOf?: (generationId: string) => string;
  client?: PreviewClient;
  theme?: ThemeChoice;
  onSignIn?: () => void;
  /** Go to another generation, such as the one that holds the last free place. */
  onShow?: (generationId: string) => void;
  /** Called to show the preview's measurements; without it, its plots open nothing. */
  onShowMetrics?: () => void;
  /** Called with the state's word when it changes, such as `running`; a restart that was asked for is `restarting`. */
  onState?: (state: string) => void;
  /** Called to show the launch settings, where a failed launch may need a variable or a start command. */
  onShowSettings?: () => void;
  /** Replaces fixed texts, such as `{ launch: "Lancer" }`. */
  texts?: LaunchTexts;
  className?: string;
  style?: CSSProperties;
}

const STATES: Record<string, { text: LaunchText; tone: "good" | "busy" | "bad" | "idle" }> = {
  starting: { text: "starting", tone: "busy" },
  running: { text: "running", tone: "good" },
  stopping: { text: "stopping", tone: "busy" },
  stopped: { text: "stopped", tone: "idle" },
  failed: { text: "failed", tone: "bad" },
  none: { text: "notLaunched", tone: "idle" },
  launching: { text: "starting", tone: "busy" },
  restarting: { text: "restarting", tone: "busy" },
};
const NO_TEXTS: LaunchTexts = {};
const PHASES: Record<string, StepsPhase> = { starting: "launching", failed: "broken" };

/** Launch, watch over and stop the preview of a generation. */
export function LaunchPanel(props: LaunchPanelProps): ReactNode {
  return (
    <TextsProvider texts={props.texts}>
      <Contained name={english("The preview’s state")} key={props.generationId}>
        <LaunchTextsProvider value={props.texts ?? NO_TEXTS}>
          <WholeLaunchPanel {...props} />
        </LaunchTextsProvider>
      </Contained>
    </TextsProvider>
  );
}

function WholeLaunchPanel(props: LaunchPanelProps): ReactNode {
  const t = useTranslate();
  const { generationId } = props;
  const texts = useLaunchTexts();
  const client = usePreviewClient(props.client);
  const preview = usePreview(generationId, { client });
  const session = useLogSession(generationId, { client });
  const { steps, status, connection } = useLogSnapshot(session);
  const { instance, busy } = preview;
  const isCut = connection.phase === "reconnecting";
  // The stream is the first to notice that the service is gone, and that it is back: all parts of the page look then.
  const wasCut = useRef(false);
  useEffect(() => {
    if (wasCut.current !== isCut) client.noteChange(generationId);
    wasCut.current = isCut;
  }, [isCut, client, generationId]);
  // The stream is faster than asking.
  const isNewer = status !== null && instance?.id === status.id && isActive(instance);
  const state = isNewer ? status.status : (instance?.status ?? "none");
  const health = isNewer ? status.health : (instance?.health ?? "unknown");
  const isOn = state === "starting" || state === "running" || state === "stopping";
  const isLost = preview.isLost && isOn;
  const held = isOn && !isLost && preview.status ? heldIn(t, preview.status) : null;
  // A launch that waits for a node of a cluster: none of its steps has started, and it has no stream.
  const queue = isOn && !isLost && !isNewer ? (preview.status?.queue ?? null) : null;
  const checks = isOn && !isLost ? (preview.status?.checks ?? "") : "";
  const broken = checks.includes("broke") ? checks : null;
  // From the click on, until it is known what came of it.
  // The stream is faster than asking here, too: a process that serves again is healthy.
  const isCrashed = state === "running" && health === "unhealthy" && preview.status?.crash?.is_restarting === true;
  const settled = isCrashed ? "restarting" : state;
  const now = isLost || busy === null || busy === "extending" ? settled : busy;
  const known = STATES[now];
  const shown = {
    word: isLost ? texts.unknown : queue ? texts.queued : known ? texts[known.text] : now,
    tone: isLost || !known ? ("idle" as const) : known.tone,
  };
  useTold(preview.isLoaded && !isLost ? (now === "launching" ? "starting" : now) : null, props.onState);
  // On a small screen the log comes first: the rest is opened when it is wanted.
  const [isOpen, setOpen] = useState(false);
  const title = visible(props.name ?? generationId);
  return (
    <section
      className={classes(tokens.root, styles.panel, props.className)}
      style={{ colorScheme: colorScheme(props.theme ?? "system"), ...props.style }}
      aria-label={t("Preview")}
      data-state={state}
      data-open={isOpen}
    >
      <div className={styles.head}>
        <h2 className={styles.title} title={title}>
          {title}
        </h2>
        <span className={styles.state} data-state={isLost ? "lost" : now}>
          <Dot tone={shown.tone} />
          {shown.word}
        </span>
        {queue && (
          <span className={styles.held} title={t("No node of the cluster has room right now; the launch is queued.")}>
            {t("Place {place} of {waiting}", { place: String(queue.place), waiting: String(queue.waiting) })}
          </span>
        )}
        {held && (
          <span className={styles.held} data-reached={held.isReached} title={held.details}>
            {held.short}
          </span>
        )}
        {broken && (
          <span className={styles.held} data-reached="true" title={t("Last run of the checks: {broken}", { broken })}>
            {t("Checks: {broken}", { broken })}
          </span>
        )}
        <Announce>{preview.isLoaded ? `${title}: ${shown.word}` : ""}</Announce>
        {instance && isOn && <Address {...{ client, instance, state, isLost }} />}
        <span className={styles.spring} />
        <Actions preview={preview} state={state} />
        <IconButton
          className={styles.details}
          icon={isOpen ? "up" : "down"}
          label={texts.details}
          aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}
        />
      </div>
      <div className={styles.below}>
        <div className={styles.summary} data-wide={preview.problem !== null || state === "failed"}>
          {preview.problem && <ProblemNotice {...props} client={client} preview={preview} problem={preview.problem} />}
          {instance && isOn ? (
            <Facts {...{ preview, instance, health, isLost }} onShowMetrics={props.onShowMetrics} />
          ) : (
            !preview.problem && <Rest preview={preview} state={state} onShowSettings={props.onShowSettings} />
          )}
        </div>
        <Steps
          // A launch that was refused has none of the steps of the one before, nor has one that was only just asked for.
          steps={(preview.problem || busy === "launching") && !isOn ? launchSteps(undefined) : steps}
          phase={
            queue || (preview.problem && !isOn)
              ? "ahead"
              : (PHASES[now === "launching" ? "starting" : state] ?? "ahead")
          }
          isOver={state === "running" || state === "stopping"}
        />
      </div>
    </section>
  );
}

/** Before the browser paints. A server paints nothing, and React 18 warns there of a layout effect. */
const useEffectBeforePaint = typeof document === "undefined" ? useEffect : useLayoutEffect;

/** Tell the state before it is painted: two places of a page do not show two states. Null is not told. */
function useTold(state: string | null, onState: ((state: string) => void) | undefined): void {
  const tell = useRef(onState);
  useEffectBeforePaint(() => {
    tell.current = onState;
  });
  useEffectBeforePaint(() => {
    if (state !== null) tell.current?.(state);
  }, [state]);
}

interface RestProps {
  preview: Preview;
  state: string;
  onShowSettings: (() => void) | undefined;
}

/** What a preview that is not on says of itself. */
function Rest({ preview, state, onShowSettings }: RestProps): ReactNode {
  const t = useTranslate();
  const texts = useLaunchTexts();
  const { instance, isLoaded } = preview;
  // From the click on, the steps say it.
  if (preview.busy === "launching") return null;
  if (state === "failed" && instance?.reason)
    return (
      <Notice
        tone="bad"
        role="alert"
        actions={
          onShowSettings && (
            <Button small icon="sliders" onClick={onShowSettings}>
              {texts.settings}
            </Button>
          )
        }
      >
        {whyFailed(t, instance)} {texts.seeLog}
      </Notice>
    );
  if (state === "stopped" && instance?.reason)
    return <p className={styles.hint}>{whyStopped(t, instance.reason, instance.cause)}</p>;
  if (state !== "none" || !isLoaded) return null;
  return <p className={styles.hint}>{texts.launchHint}</p>;
}
