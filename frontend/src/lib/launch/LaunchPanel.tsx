import { type CSSProperties, type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import type { PreviewInstance } from "../api/types";
import { usePreviewClient } from "../context";
import type { LaunchStep } from "../logs/steps";
import { Announce, Button, classes, CopyButton, Dot, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { count, duration } from "../ui/format";
import { Icon } from "../ui/icons";
import { colorScheme, type ThemeChoice } from "../ui/theme";
import tokens from "../ui/tokens.module.css";
import { useNow } from "../ui/useNow";
import { isActive, type Preview, usePreview } from "../usePreview";
import { useLogSession, useLogSnapshot } from "../usePreviewLogs";
import { explain, type WayOut } from "./explain";
import styles from "./launch.module.css";
import { Plot } from "./Plot";
import { Steps } from "./Steps";

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
  className?: string;
  style?: CSSProperties;
}

const STATES: Record<string, { word: string; tone: "good" | "busy" | "bad" | "idle" }> = {
  starting: { word: "Starting", tone: "busy" },
  running: { word: "Running", tone: "good" },
  stopping: { word: "Stopping", tone: "busy" },
  stopped: { word: "Stopped", tone: "idle" },
  failed: { word: "Failed", tone: "bad" },
  none: { word: "Not launched", tone: "idle" },
};
/** Near the end, an extension is offered more plainly. */
const SOON_S = 300;
const EXTENSION_S = 1800;

/** Launch, watch over and stop the preview of a generation. */
export function LaunchPanel(props: LaunchPanelProps): ReactNode {
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const preview = usePreview(generationId, { client });
  const session = useLogSession(generationId, { client });
  const { steps, status } = useLogSnapshot(session);
  const { instance } = preview;
  // The stream is faster than asking.
  const isNewer = status !== null && instance?.id === status.id && isActive(instance);
  const state = isNewer ? status.status : (instance?.status ?? "none");
  const health = isNewer ? status.health : (instance?.health ?? "unknown");
  const shown = STATES[state] ?? { word: state, tone: "idle" as const };
  const isOn = state === "starting" || state === "running" || state === "stopping";
  const title = props.name ?? generationId;
  return (
    <section
      className={classes(tokens.root, styles.panel, props.className)}
      style={{ colorScheme: colorScheme(props.theme ?? "system"), ...props.style }}
      aria-label="Preview"
      data-state={state}
    >
      <div className={styles.head}>
        <h2 className={styles.title} title={title}>
          {title}
        </h2>
        <span className={styles.state} data-state={state}>
          <Dot tone={shown.tone} />
          {shown.word}
        </span>
        <Announce>{preview.isLoaded ? `${title}: ${shown.word}` : ""}</Announce>
        <span className={styles.spring} />
        <Actions preview={preview} state={state} />
      </div>
      {preview.problem && <ProblemNotice {...props} client={client} preview={preview} problem={preview.problem} />}
      {instance && isOn && <Facts preview={preview} instance={instance} state={state} health={health} />}
      {showsSteps(state, steps) && <Steps steps={steps} isFailed={state === "failed"} />}
      {state === "failed" && instance?.reason && !preview.problem && (
        <Notice tone="bad" role="alert">
          {failure(instance)} Its last lines are in the log.
        </Notice>
      )}
      {state === "stopped" && instance?.reason && <p className={styles.hint}>{sentence(instance.reason)}</p>}
      {state === "none" && preview.isLoaded && (
        <p className={styles.hint}>
          Launching starts the backend in a process of its own. Its output and its address appear here.
        </p>
      )}
    </section>
  );
}

function showsSteps(state: string, steps: readonly LaunchStep[]): boolean {
  const begun = steps.some((step) => step.atMs !== null);
  return (
    state === "starting" ||
    (begun && (state === "running" || (state === "failed" && steps.some((step) => step.atMs === null))))
  );
}

function sentence(reason: string): string {
  const text = reason.charAt(0).toUpperCase() + reason.slice(1);
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}

function failure({ reason, exit_code: code, exit_signal: signal }: PreviewInstance): string {
  const said = sentence(reason ?? "The preview failed.");
  if (signal !== null && !said.includes("signal")) return `${said} It was ended by signal ${signal}.`;
  return code !== null && !/\b(status|code|exit)/.test(said) ? `${said} Exit code ${code}.` : said;
}

function Actions({ preview, state }: { preview: Preview; state: string }): ReactNode {
  const [others, setOthers] = useState<number | null>(null);
  const { busy } = preview;
  if (!preview.isLoaded) return null;
  if (others !== null && (state === "running" || state === "starting")) {
    return (
      <span className={styles.confirm} role="alertdialog" aria-label="Stop for everybody?">
        <span>{count(others, "other is", "others are")} watching. Stop it for everybody?</span>
        <Button autoFocus onClick={() => setOthers(null)}>
          Keep it
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
    // This browser's tabs share one stream; whoever is more is somebody else.
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
            <Button icon="restart" disabled={busy !== null} onClick={() => void preview.restart()}>
              {busy === "restarting" ? "Restarting…" : "Restart"}
            </Button>
          )}
          <Button
            kind="danger"
            icon="stop"
            disabled={busy !== null || state === "stopping"}
            onClick={() => void askAndStop()}
          >
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

interface FactsProps {
  preview: Preview;
  instance: PreviewInstance;
  state: string;
  health: string;
}

function Facts({ preview, instance, state, health }: FactsProps): ReactNode {
  const now = useNow(1_000);
  const left = (Date.parse(instance.expires_at) - now) / 1_000;
  const up = (now - Date.parse(instance.created_at)) / 1_000;
  const last = preview.usage.at(-1);
  const isSoon = left < SOON_S;
  return (
    <div className={styles.facts}>
      {instance.base_url !== null && (
        <div className={styles.address}>
          <Icon name="link" />
          {state === "running" ? (
            <a href={instance.base_url} target="_blank" rel="noreferrer">
              {instance.base_url}
            </a>
          ) : (
            <span>{instance.base_url}</span>
          )}
          <CopyButton text={instance.base_url} label="Copy the address" />
        </div>
      )}
      <dl className={styles.numbers}>
        <div>
          <dt>Health</dt>
          <dd data-health={health}>{{ healthy: "Healthy", unhealthy: "Unhealthy" }[health] ?? "Not known yet"}</dd>
        </div>
        <div>
          <dt>Up</dt>
          <dd>{duration(up)}</dd>
        </div>
        <div>
          <dt>Ends in</dt>
          <dd data-soon={isSoon}>
            {left > 0 ? duration(left) : "now"}
            <button
              type="button"
              className={classes(controls.button, controls.small, !isSoon && controls.quiet, styles.extend)}
              disabled={preview.busy !== null}
              title="Let it live half an hour longer"
              onClick={() => void preview.extend(EXTENSION_S)}
            >
              +30 min
            </button>
          </dd>
        </div>
        {last && (
          <>
            <Plot
              label="Memory"
              value={`${Math.round(last.memoryMb)} MB`}
              values={preview.usage.map((one) => one.memoryMb)}
              top={64}
            />
            <Plot
              label="CPU"
              value={`${last.cpuPercent.toFixed(last.cpuPercent < 10 ? 1 : 0)} %`}
              values={preview.usage.map((one) => one.cpuPercent)}
              top={25}
            />
          </>
        )}
      </dl>
    </div>
  );
}

interface ProblemNoticeProps extends LaunchPanelProps {
  client: PreviewClient;
  preview: Preview;
  problem: NonNullable<Preview["problem"]>;
}

function ProblemNotice(props: ProblemNoticeProps): ReactNode {
  const { preview, problem, generationId, client } = props;
  const { sentence: said, facts, ways } = explain(problem, generationId, props.nameOf);
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
                Show it
              </Button>
            )}
            <Button small disabled={busy} onClick={() => void stopAndLaunch(way.generationId)}>
              {busy
                ? "Stopping…"
                : way.isThis
                  ? "Stop it and launch"
                  : `Stop “${props.nameOf?.(way.generationId) ?? way.generationId}”, launch this`}
            </Button>
          </span>
        );
      case "again":
        return (
          <Button key="again" small onClick={() => void preview.launch()}>
            Try again
          </Button>
        );
      case "sign-in":
        return (
          props.onSignIn && (
            <Button key="sign-in" small onClick={props.onSignIn}>
              Sign in
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
            Dismiss
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
