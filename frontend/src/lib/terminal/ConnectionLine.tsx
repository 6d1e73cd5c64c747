import type { ReactNode } from "react";

import type { LogSnapshot } from "../logs/session";
import { isNothingYet } from "../logs/session";
import { useTranslate, type Translate, english, sourceOf } from "../texts/translate";
import { Announce, Button, Dot, Notice } from "../ui/controls";
import { useNow } from "../ui/useNow";
import type { EndEvent } from "../api/types";
import { ended } from "../launch/ending";
import { type TerminalText, useTexts } from "./texts";

type Tone = "good" | "busy" | "bad" | "idle";

/** The connection in a word, with its colour. */
export function ConnectionWord({ snapshot }: { snapshot: LogSnapshot }): ReactNode {
  const { connection } = snapshot;
  const isWaiting = connection.phase === "reconnecting";
  const now = useNow(250, isWaiting);
  const texts = useTexts();
  const [tone, name] = wordOf(snapshot);
  const word = texts[name];
  const left = isWaiting ? Math.ceil((connection.retryAt - now) / 1_000) : 0;
  return (
    <>
      <Dot tone={tone} />
      <span>{left > 0 ? `${texts.reconnecting} (${left} s)` : word}</span>
      <Announce>{word}</Announce>
    </>
  );
}

/** What a stream says of its own loss; other reasons are sentences of the service. */
const REASONS = [
  english("The service was shut down."),
  english("The service closed the connection."),
  english("The connection was lost."),
  english("The connection timed out."),
];

function reasonOf(t: Translate, reason: string): string {
  const known = REASONS.find((one) => sourceOf(one) === reason);
  return known ? t(known) : reason;
}

function wordOf(snapshot: LogSnapshot): [Tone, TerminalText] {
  const { connection } = snapshot;
  switch (connection.phase) {
    case "idle":
      return ["idle", "log"];
    case "connecting":
      return ["busy", "connecting"];
    case "live":
      return ["good", "live"];
    case "reconnecting":
      return ["busy", "reconnecting"];
    case "ended":
      return ["idle", "ended"];
    case "failed":
      return isNothingYet(connection) ? ["idle", "log"] : ["bad", "notConnected"];
  }
}

interface ConnectionNoticeProps {
  snapshot: LogSnapshot;
  onRetry: () => void;
  /** Whether it says how the preview ended. */
  hasEnd: boolean;
}

/** What went wrong with the connection, or how the preview ended; nothing while all is well. */
export function ConnectionNotice({ snapshot, onRetry, hasEnd }: ConnectionNoticeProps): ReactNode {
  const t = useTranslate();
  const texts = useTexts();
  const { connection, end } = snapshot;
  if (connection.phase === "reconnecting" && connection.attempt > 0) {
    return (
      <Notice
        tone="warn"
        actions={
          <Button small onClick={onRetry}>
            {texts.tryNow}
          </Button>
        }
      >
        {connection.isShutDown
          ? t("The service has stopped, and its previews with it. This page reconnects when it is back.")
          : t("{reason} Reconnecting; no lines will be missed.", { reason: reasonOf(t, connection.reason) })}
      </Notice>
    );
  }
  if (connection.phase === "failed" && !isNothingYet(connection)) {
    return (
      <Notice
        tone="bad"
        role="alert"
        actions={
          <Button small onClick={onRetry}>
            {texts.tryAgain}
          </Button>
        }
      >
        {connection.problem.message}
      </Notice>
    );
  }
  if (!hasEnd) return null;
  const over = end ?? (connection.phase === "ended" ? connection.end : null);
  return over ? <Notice tone={over.status === "failed" ? "bad" : "info"}>{endSentence(t, over)}</Notice> : null;
}

/** How a preview ended, as a sentence. */
export function endSentence(
  t: Translate,
  end: Pick<EndEvent, "status" | "reason" | "exit_code" | "exit_signal">,
): string {
  const word = end.status === "failed" ? t("The preview failed") : t("The preview has ended");
  const reason = end.reason?.replace(/^(stopped|failed):\s*/, "") ?? "";
  const said = reason ? `: ${ended(reason)}` : ".";
  // A limit ended it: how the service did that is no news.
  if (end.reason?.startsWith("stopped: ")) return word + said;
  if (end.status === "failed" && end.exit_signal !== null)
    return t("{word}{said} It was killed by signal {exit_signal}.", { word, said, exit_signal: end.exit_signal });
  const isTold = /\bexit|\bstatus\b|\bcode\b/.test(reason);
  return end.status === "failed" && end.exit_code !== null && end.exit_code !== 0 && !isTold
    ? t("{word}{said} Exit code {exit_code}.", { word, said, exit_code: end.exit_code })
    : word + said;
}
