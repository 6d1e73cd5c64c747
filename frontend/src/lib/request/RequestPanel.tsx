import { type CSSProperties, type ReactNode, useEffect, useState } from "react";

import type { PreviewClient } from "../api/client";
import { Button, classes, Notice } from "../ui/controls";
import { clockOf, milliseconds } from "../ui/format";
import { colorScheme, type ThemeChoice } from "../ui/theme";
import tokens from "../ui/tokens.module.css";
import { usePreview } from "../usePreview";
import { Answer, Tab } from "./Answer";
import { type Draft, draftOf, EMPTY } from "./draft";
import { Editor } from "./Editor";
import { EndpointList, Method } from "./EndpointList";
import type { Sent } from "./history";
import styles from "./request.module.css";
import { useEndpoints } from "./useEndpoints";
import { type Requests, useRequests } from "./useRequests";

export interface RequestPanelProps {
  generationId: string;
  client?: PreviewClient;
  theme?: ThemeChoice;
  className?: string;
  style?: CSSProperties;
}

type View = "endpoints" | "request" | "history";

/** The endpoints of a generation, requests to its running preview, and their answers. It fills its parent. */
export function RequestPanel(props: RequestPanelProps): ReactNode {
  const { generationId, client } = props;
  const { instance } = usePreview(generationId, { client, poll: false });
  const isRunning = instance?.status === "running";
  const found = useEndpoints(generationId, `${instance?.id ?? ""} ${isRunning}`, client);
  const requests = useRequests(generationId, client);
  const [view, setView] = useState<View>("endpoints");
  const [draft, setDraft] = useState<Draft>(EMPTY);
  useEffect(() => {
    setView("endpoints");
    setDraft(EMPTY);
  }, [generationId]);
  const write = (next: Draft): void => {
    setDraft(next);
    setView("request");
  };
  return (
    <div
      className={classes(tokens.root, styles.panel, props.className)}
      style={{ colorScheme: colorScheme(props.theme ?? "system"), ...props.style }}
    >
      <div className={styles.tabs} role="tablist" aria-label="Endpoints and requests">
        <Tab
          name="endpoints"
          label={found.endpoints ? `Endpoints (${found.endpoints.length})` : "Endpoints"}
          tab={view}
          onTab={setView}
        />
        <Tab name="request" label="Request" tab={view} onTab={setView} />
        <Tab name="history" label="History" tab={view} onTab={setView} />
      </div>
      <div className={styles.view} role="tabpanel" aria-label={view}>
        {view === "endpoints" && <EndpointsView found={found} isRunning={isRunning} onDraft={write} />}
        {view === "request" && (
          <RequestView
            draft={draft}
            onDraft={setDraft}
            requests={requests}
            baseUrl={instance?.base_url ?? null}
            unavailable={isRunning ? null : unavailableBecause(instance?.status)}
          />
        )}
        {view === "history" && <HistoryView requests={requests} onDraft={write} />}
      </div>
    </div>
  );
}

function unavailableBecause(status: string | undefined): string {
  if (status === "starting") return "The preview is starting; requests can be sent once it answers.";
  return "The preview is not running. Launch it to send requests.";
}

function EndpointsView({
  found,
  isRunning,
  onDraft,
}: {
  found: ReturnType<typeof useEndpoints>;
  isRunning: boolean;
  onDraft: (draft: Draft) => void;
}): ReactNode {
  const { endpoints, problem } = found;
  if (endpoints && endpoints.length > 0)
    return <EndpointList endpoints={endpoints} onPick={(one) => onDraft(draftOf(one))} />;
  if (problem)
    return (
      <div className={styles.pad}>
        <Notice tone="bad">{problem.message}</Notice>
      </div>
    );
  if (!endpoints) return <p className={styles.none}>Looking for endpoints…</p>;
  return (
    <div className={styles.none}>
      <p>
        No endpoints were found in the source
        {isRunning
          ? ", and the preview publishes no OpenAPI document that names them. You can send requests all the same."
          : ". When the preview runs, it is asked for its OpenAPI document, which may name them."}
      </p>
      <Button onClick={() => onDraft(EMPTY)}>Write a request</Button>
    </div>
  );
}

interface RequestViewProps {
  draft: Draft;
  onDraft: (draft: Draft) => void;
  requests: Requests;
  baseUrl: string | null;
  unavailable: string | null;
}

function RequestView({ draft, onDraft, requests, baseUrl, unavailable }: RequestViewProps): ReactNode {
  const { answer, problem, isSending } = requests;
  return (
    <div className={styles.request}>
      <Editor
        draft={draft}
        onDraft={onDraft}
        onSend={() => void requests.send(draft)}
        onCancel={requests.cancel}
        isSending={isSending}
        unavailable={unavailable}
        baseUrl={baseUrl}
      />
      {isSending && (
        <p className={styles.none} role="status">
          Waiting for the answer…
        </p>
      )}
      {problem && (
        <div className={styles.pad}>
          <Notice tone="bad" role="alert">
            {problem.message}
          </Notice>
        </div>
      )}
      {answer && <Answer answer={answer} logLines={requests.logLines} />}
    </div>
  );
}

function HistoryView({ requests, onDraft }: { requests: Requests; onDraft: (draft: Draft) => void }): ReactNode {
  if (requests.history.length === 0)
    return <p className={styles.none}>Requests that you send are kept here, to look at and to repeat.</p>;
  const again = (sent: Sent): void => {
    onDraft(sent.draft);
    void requests.send(sent.draft);
  };
  return (
    <div className={styles.listScroll}>
      <ul className={styles.endpoints}>
        {requests.history.map((sent) => (
          <li key={sent.id} className={styles.sent}>
            <button type="button" className={styles.endpoint} onClick={() => onDraft(sent.draft)}>
              <Method method={sent.draft.method} />
              <span className={styles.path}>{sent.target}</span>
              <span className={styles.summary}>
                {clockOf(sent.at)} ·{" "}
                {sent.status === null
                  ? (sent.error ?? "cancelled")
                  : `${sent.status} in ${milliseconds(sent.elapsedMs ?? 0)}`}
              </span>
            </button>
            <Button small onClick={() => again(sent)}>
              Repeat
            </Button>
          </li>
        ))}
      </ul>
      <div className={styles.pad}>
        <Button small kind="quiet" onClick={requests.forget}>
          Forget these
        </Button>
      </div>
    </div>
  );
}
