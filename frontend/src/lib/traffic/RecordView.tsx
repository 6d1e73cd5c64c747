import { lazy, type ReactNode, Suspense, useState } from "react";

import type { PreviewClient } from "../api/client";
import {
  type RecordedRequest,
  readRecord,
  recordText,
  type RecordText,
  setPinned,
  type WholeRecord,
} from "../api/records";
import { replayOne, type Replayed, saveCheck } from "../api/replay";
import { isNote } from "../logs/store";
import type { RequestDesk } from "../request/desk";
import { LogLines } from "../request/LogLines";
import { useTranslate } from "../texts/translate";
import { useRole } from "../together/role";
import { TargetComments } from "../together/TargetComments";
import { Button, copyText, IconButton, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { bytes, clockOf } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { tabLabel, Tabs } from "../ui/Tabs";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { useLogSession } from "../usePreviewLogs";
import { MessageView } from "./MessageView";
import { draftOfRecord } from "./sendable";
import { ReplayResult } from "./ReplayResult";
import { Status } from "./Status";
import { TimingBar } from "./TimingBar";
import styles from "./traffic.module.css";
import { useRecordLines } from "./useRecordLines";
import { fromWords } from "./words";

const RecordTrace = lazy(() => import("../traces/RecordTrace"));

interface RecordViewProps {
  client: PreviewClient;
  generationId: string;
  number: number;
  desk: RequestDesk;
  isRunning: boolean;
  onBack: () => void;
  onChanged: (record: RecordedRequest) => void;
  onShowLog: (() => void) | undefined;
  onShowFailure: ((failureId: string) => void) | undefined;
}

/** One recorded request in full: facts, timing, headers and bodies, its log lines; and what can be done with it. */
export function RecordView(props: RecordViewProps): ReactNode {
  const t = useTranslate();
  const { client, generationId, number, onBack } = props;
  const { value, problem, put } = useLoad(`${generationId} ${number}`, (signal) =>
    readRecord(client, generationId, number, signal),
  );
  return (
    <div className={panel.view}>
      <div className={panel.bar}>
        <Button small autoFocus icon="left" onClick={onBack}>
          {t("Recorded")}
        </Button>
        {value && (
          <>
            <Status record={value} />
            <h3 className={styles.title}>
              {visible(value.method)} {visible(value.target)}
            </h3>
          </>
        )}
      </div>
      {problem && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            {problem.message}
          </Notice>
        </div>
      )}
      {!value && !problem && <p className={panel.none}>{t("Loading…")}</p>}
      {value && <Whole {...props} record={value} onRecord={(record) => put(() => record)} />}
    </div>
  );
}

interface WholeProps extends RecordViewProps {
  record: WholeRecord;
  onRecord: (record: WholeRecord) => void;
}

function Whole(props: WholeProps): ReactNode {
  const t = useTranslate();
  const { client, generationId, record, isRunning } = props;
  const action = useAction();
  const role = useRole();
  const [replayed, setReplayed] = useState<Replayed | null>(null);
  const [part, setPart] = useState<"response" | "request">("response");
  const replay = (): void =>
    void action.run(t("Replaying…"), async () => {
      setReplayed(await replayOne(client, generationId, record.number));
      return undefined;
    });
  const pin = (): void =>
    void action.run(t("Pinning…"), async () => {
      await setPinned(client, generationId, record.number, !record.pinned);
      const changed = { ...record, pinned: !record.pinned };
      props.onRecord(changed);
      props.onChanged(changed);
      return changed.pinned ? t("Pinned: it is kept regardless of its age and size.") : t("No longer pinned.");
    });
  const check = (): void =>
    void action.run(t("Saving a check…"), async () => {
      await saveCheck(client, generationId, record.number);
      return t(
        "Saved as a check in preview.checks.toml; it runs after each reload. The pane “Tests” shows its result.",
      );
    });
  const tabs: (readonly ["request" | "response", string])[] = [
    ["response", t("Response")],
    ["request", t("Request")],
  ];
  return (
    <div className={panel.scroll}>
      <div className={panel.actions}>
        {role !== "watch" && (
          <Button small icon="restart" disabled={!isRunning || action.busy !== null} onClick={replay}>
            {t("Replay")}
          </Button>
        )}
        {role === "owner" && record.request && (
          <Button small icon="send" onClick={() => props.desk.begin(draftOfRecord(record))}>
            {t("Edit and send")}
          </Button>
        )}
        {role === "owner" && (
          <Button small icon="check" disabled={action.busy !== null} onClick={check}>
            {t("Save as check")}
          </Button>
        )}
        {record.failure !== null && props.onShowFailure && (
          <Button small icon="bug" onClick={() => props.onShowFailure?.(record.failure ?? "")}>
            {t("Show the failure")}
          </Button>
        )}
        <CopyAs client={client} generationId={generationId} number={record.number} run={action.run} />
        {role === "owner" && (
          <IconButton
            icon="pin"
            label={record.pinned ? t("Unpin") : t("Pin: never delete it")}
            pressed={record.pinned}
            disabled={action.busy !== null}
            onClick={pin}
          />
        )}
      </div>
      <News action={action} />
      {replayed && <ReplayResult result={replayed} onClose={() => setReplayed(null)} />}
      <Facts record={record} />
      <TimingBar timing={record.timing} />
      <Suspense fallback={null}>
        <RecordTrace client={client} generationId={generationId} record={record} />
      </Suspense>
      <RecordLines {...props} />
      <Tabs label={t("Parts of the request")} tabs={tabs} tab={part} onTab={setPart} />
      <div role="tabpanel" aria-label={tabLabel(tabs, part)}>
        {part === "response" && record.status === null && record.response === null ? (
          <p className={panel.none}>{t("There was no response.")}</p>
        ) : (
          <MessageView
            key={part}
            message={part === "response" ? record.response : record.request}
            name={part}
            isReported={!record.is_verified}
          />
        )}
      </div>
      <TargetComments
        client={client}
        generationId={generationId}
        target={{ kind: "request", id: String(record.number) }}
      />
    </div>
  );
}

function Facts({ record }: { record: WholeRecord }): ReactNode {
  const t = useTranslate();
  const at = Date.parse(record.started_at);
  return (
    <>
      <dl className={panel.facts}>
        <dt>{t("Sent by")}</dt>
        <dd>
          {fromWords(t, record)}
          {!record.is_verified && t(": reported by the application, not verified")}
        </dd>
        <dt>{t("Started")}</dt>
        <dd>
          <time dateTime={record.started_at}>{Number.isNaN(at) ? "" : clockOf(at)}</time>
          {record.reload > 0 && t(", after reload {reload}", { reload: record.reload })}
        </dd>
        <dt>{t("Sizes")}</dt>
        <dd>
          {record.is_verified
            ? t("{sent_bytes} sent, {received_bytes} received", {
                sent_bytes: bytes(record.sent_bytes),
                received_bytes: bytes(record.received_bytes),
              })
            : t("unknown: this request did not pass through the service")}
        </dd>
        {record.error !== null && (
          <>
            <dt>{t("Error")}</dt>
            <dd>{visible(record.error)}</dd>
          </>
        )}
        <dt>{t("Request id")}</dt>
        <dd className={panel.mono}>{visible(record.request_id)}</dd>
      </dl>
    </>
  );
}

const FORMATS: readonly RecordText[] = ["curl", "httpx", "fetch", "pytest"];

function CopyAs(props: {
  client: PreviewClient;
  generationId: string;
  number: number;
  run: ReturnType<typeof useAction>["run"];
}): ReactNode {
  const t = useTranslate();
  const copy = (format: RecordText): void =>
    void props.run(t("Copying…"), async () => {
      await copyText(await recordText(props.client, props.generationId, props.number, format));
      return t("Copied as {format}.", { format });
    });
  return (
    <select
      className={controls.field}
      style={{ minHeight: 26, padding: "0 6px", fontSize: 12 }}
      aria-label={t("Copy as")}
      value=""
      onChange={(event) => copy(event.target.value as RecordText)}
    >
      <option value="" disabled>
        {t("Copy as…")}
      </option>
      {FORMATS.map((one) => (
        <option key={one}>{one}</option>
      ))}
    </select>
  );
}

function RecordLines({ client, generationId, record, onShowLog }: WholeProps): ReactNode {
  const session = useLogSession(generationId, { client });
  const { lines, isExact } = useRecordLines(client, session, record);
  const show = (seq: number): void => {
    onShowLog?.();
    session.reveal(seq);
  };
  const shown = lines.filter((one) => !isNote(one));
  return <LogLines lines={shown} isExact={isExact} onShow={show} />;
}
