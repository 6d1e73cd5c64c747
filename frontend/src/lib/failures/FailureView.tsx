import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { failureText, type FailureException, type FailureFrame, readFailure, type WholeFailure } from "../api/failures";
import { Problem } from "../api/problem";
import { findRecord } from "../api/records";
import { replayOne, type Replayed } from "../api/replay";
import { useTranslate, english, type Untranslated } from "../texts/translate";
import { useRole } from "../together/role";
import { TargetComments } from "../together/TargetComments";
import { ReplayResult } from "../traffic/ReplayResult";
import { Button, copyText, Notice } from "../ui/controls";
import { ago, count } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { useLogSession } from "../usePreviewLogs";
import { Back } from "./FailureList";
import styles from "./failures.module.css";
import { newSince, placeOf } from "./words";

const MOST_FRAMES = 60;
const MOST_EXCEPTIONS = 10;
const MOST_OCCURRENCES = 20;

const RELATIONS: Record<FailureException["relation"], Untranslated | null> = {
  raised: null,
  cause: english("caused by"),
  context: english("while handling"),
  member: english("also in the group"),
  group: english("in the group"),
};

interface FailureViewProps {
  client: PreviewClient;
  generationId: string;
  id: string;
  /** Read again with each change. */
  revision: number;
  reloads: number;
  onBack: () => void;
  onShowLog: (() => void) | undefined;
  onShowRequest: ((number: number) => void) | undefined;
  onOpenFile: OpenFile;
}

type OpenFile = ((path: string, line: number) => void) | undefined;

/** One failure in full: source, frames, request and lines. */
export function FailureView(props: FailureViewProps): ReactNode {
  const t = useTranslate();
  const { client, generationId, id } = props;
  const { value, problem } = useLoad(`${generationId} ${id} ${props.revision}`, (signal) =>
    readFailure(client, generationId, id, signal),
  );
  const [shown, setShown] = useState<WholeFailure | null>(null);
  if (value && value !== shown) setShown(value);
  return (
    <div className={panel.view}>
      <div className={panel.bar}>
        <Back onBack={props.onBack} />
      </div>
      {problem && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            {problem.message}
          </Notice>
        </div>
      )}
      {!shown && !problem && <p className={panel.none}>{t("Loading…")}</p>}
      {shown && <Whole {...props} failure={shown} />}
    </div>
  );
}

function Whole(props: FailureViewProps & { failure: WholeFailure }): ReactNode {
  const t = useTranslate();
  const { client, generationId, failure, onShowRequest } = props;
  const action = useAction();
  const role = useRole();
  const [replayed, setReplayed] = useState<Replayed | null>(null);
  const session = useLogSession(generationId, { client });
  // The newest one with a request; its record is looked up when it is wanted.
  const newest = failure.occurrences.findLast((one) => one.request_id !== null);
  const request = failure.is_probe ? null : (newest?.request_id ?? null);
  const fresh = newSince(t, failure, props.reloads);
  const numberOf = async (requestId: string): Promise<number> => {
    const number = await findRecord(client, generationId, requestId);
    if (number === null) throw new Problem("This request was not recorded, or its record was deleted.");
    return number;
  };
  const replay = (requestId: string): void =>
    void action.run(t("Replaying…"), async () => {
      setReplayed(await replayOne(client, generationId, await numberOf(requestId)));
      return undefined;
    });
  const showRequest = (requestId: string): void =>
    void action.run(t("Looking for the request…"), async () => {
      onShowRequest?.(await numberOf(requestId));
      return undefined;
    });
  const copy = (): void =>
    void action.run(t("Copying…"), async () => {
      await copyText(await failureText(client, generationId, failure.id));
      return t("Copied: source, request and lines, as text for an agent.");
    });
  const show = (seq: number): void => {
    props.onShowLog?.();
    session.reveal(seq);
  };
  return (
    <div className={panel.scroll}>
      <div className={styles.head}>
        <h3>{visible(failure.type)}</h3>
        <p className={styles.whole} tabIndex={0} aria-label={t("Message")}>
          {visible(failure.message)}
        </p>
        <p className={panel.wrap}>
          <Place frame={failure.frame} onOpenFile={props.onOpenFile} />
          {fresh !== null && (
            <span className={panel.badge} data-tone="bad">
              {fresh}
            </span>
          )}
        </p>
      </div>
      <div className={panel.actions}>
        {request !== null && role !== "watch" && (
          <Button small icon="restart" disabled={action.busy !== null} onClick={() => replay(request)}>
            {t("Replay")}
          </Button>
        )}
        {request !== null && onShowRequest && (
          <Button small icon="send" onClick={() => showRequest(request)}>
            {t("Show the request")}
          </Button>
        )}
        <Button small icon="copy" disabled={action.busy !== null} onClick={copy}>
          {t("Copy for an agent")}
        </Button>
        {!failure.is_probe && (
          <Button small icon="terminal" onClick={() => show(failure.last.first_line)}>
            {t("Show in the log")}
          </Button>
        )}
      </div>
      <News action={action} />
      {replayed && <ReplayResult result={replayed} onClose={() => setReplayed(null)} />}
      {failure.source && <Source source={failure.source} />}
      {failure.exceptions.slice(0, MOST_EXCEPTIONS).map((one, at) => (
        <Exception key={at} one={one} isFirst={at === 0} onOpenFile={props.onOpenFile} />
      ))}
      {failure.is_probe && <p className={panel.hint}>{t("Found by a probe, in a copy of the preview.")}</p>}
      <Occurrences failure={failure} onShow={show} onShowRequest={onShowRequest && showRequest} />
      <TargetComments client={client} generationId={generationId} target={{ kind: "failure", id: failure.id }} />
    </div>
  );
}

function Source({ source }: { source: NonNullable<WholeFailure["source"]> }): ReactNode {
  const t = useTranslate();
  return (
    <section className={panel.section} aria-label={t("Source")}>
      <h4>{t("{path}, as it was then", { path: visible(source.path) })}</h4>
      <ol
        className={styles.source}
        start={source.first_line}
        tabIndex={0}
        aria-label={t("Source of {path}", { path: visible(source.path) })}
      >
        {source.lines.map((text, at) => {
          const number = source.first_line + at;
          return (
            <li key={number} aria-current={number === source.line ? "true" : undefined}>
              <span aria-hidden="true">{number}</span>
              <code>{visible(text)}</code>
            </li>
          );
        })}
      </ol>
    </section>
  );
}

interface ExceptionProps {
  one: FailureException;
  isFirst: boolean;
  onOpenFile: OpenFile;
}

function Exception({ one, isFirst, onOpenFile }: ExceptionProps): ReactNode {
  const t = useTranslate();
  const words = RELATIONS[one.relation];
  const relation = words ? t(words) : "";
  const frames = one.frames.slice(0, MOST_FRAMES);
  const own = frames.filter((frame) => frame.is_own);
  const others = frames.filter((frame) => !frame.is_own);
  return (
    <section className={panel.section} aria-label={isFirst ? t("Frames") : `${relation} ${visible(one.type)}`}>
      {isFirst ? (
        <h4>{t("Frames, innermost first")}</h4>
      ) : (
        <h4>
          {relation} {visible(one.type)}: {visible(one.message.slice(0, 300))}
        </h4>
      )}
      <Frames frames={own} onOpenFile={onOpenFile} />
      {others.length > 0 && (
        <details className={styles.others}>
          <summary>
            {t("{others} in packages and libraries", {
              others: count(t, others.length, "{count} frame", "{count} frames"),
            })}
          </summary>
          <Frames frames={others} onOpenFile={undefined} />
        </details>
      )}
    </section>
  );
}

/** Where code is; a button where its file can be opened. */
function Place({ frame, onOpenFile }: { frame: FailureFrame | null; onOpenFile: OpenFile }): ReactNode {
  const t = useTranslate();
  if (!frame?.is_own || !onOpenFile) return <span className={panel.mono}>{placeOf(t, frame)}</span>;
  return (
    <button
      type="button"
      className={`${panel.mono} ${styles.place}`}
      title={t("Open the file at this line")}
      onClick={() => onOpenFile(frame.path, frame.line)}
    >
      {placeOf(t, frame)}
    </button>
  );
}

function Frames({ frames, onOpenFile }: { frames: readonly FailureFrame[]; onOpenFile: OpenFile }): ReactNode {
  return (
    <ol className={styles.frames}>
      {frames.map((one, at) => (
        <li key={at}>
          <Place frame={one} onOpenFile={onOpenFile} />
          {one.code && <code>{visible(one.code.trim())}</code>}
        </li>
      ))}
    </ol>
  );
}

interface OccurrencesProps {
  failure: WholeFailure;
  onShow: (seq: number) => void;
  onShowRequest: ((requestId: string) => void) | undefined;
}

function Occurrences({ failure, onShow, onShowRequest }: OccurrencesProps): ReactNode {
  const t = useTranslate();
  const newest = failure.occurrences.slice(-MOST_OCCURRENCES).reverse();
  return (
    <section className={panel.section} aria-label={t("Occurrences")}>
      <h4>
        {count(t, failure.count, "{count} occurrence", "{count} occurrences")}
        {failure.count > newest.length && t("; the newest {newest} are shown", { newest: newest.length })}
      </h4>
      <ul className={styles.occurrences}>
        {newest.map((one) => {
          const { request_id: request } = one;
          return (
            <li key={one.first_line}>
              <time dateTime={one.at}>{ago(t, one.at)}</time>
              <span className={panel.fact}>
                {one.is_startup
                  ? t("while starting")
                  : one.reload > 0
                    ? t("after reload {reload}", { reload: one.reload })
                    : ""}
              </span>
              {!failure.is_probe && (
                <Button small kind="quiet" onClick={() => onShow(one.first_line)}>
                  {t("Line {first_line}", { first_line: one.first_line.toLocaleString("en") })}
                </Button>
              )}
              {request !== null && onShowRequest && !failure.is_probe && (
                <Button small kind="quiet" onClick={() => onShowRequest(request)}>
                  {t("Its request")}
                </Button>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
