import { type CSSProperties, type ReactNode, useEffect, useRef } from "react";

import type { PreviewClient } from "../api/client";
import { Problem } from "../api/problem";
import { findRecord, readRecord } from "../api/records";
import type { Endpoint } from "../api/types";
import { usePreviewClient } from "../context";
import { ComparePanel, RecordsPanel, SocketPanel } from "../panels";
import { useTranslate, type Translate, english, TextsProvider, type Texts } from "../texts/translate";
import { Contained } from "../ui/Contained";
import { useRole } from "../together/role";
import { Button, classes, Notice } from "../ui/controls";
import { duration } from "../ui/format";
import { tabLabel, Tabs } from "../ui/Tabs";
import { colorScheme, type ThemeChoice } from "../ui/theme";
import tokens from "../ui/tokens.module.css";
import { useNow } from "../ui/useNow";
import { visible } from "../ui/visible";
import { usePreview } from "../usePreview";
import panel from "../ui/panel.module.css";
import { Answer } from "./Answer";
import type { DeskView, Exchange, RequestDesk } from "./desk";
import { type Draft, EMPTY } from "./draft";
import { Earlier } from "./Earlier";
import { Editor } from "./Editor";
import { EndpointList, Unread } from "./EndpointList";
import { Growing } from "./Growing";
import { LogLines } from "./LogLines";
import answerStyles from "./answer.module.css";
import styles from "./request.module.css";
import { useEndpoints } from "./useEndpoints";
import { filledDraft, needsService, variableProblem } from "../variables/references";
import { useVariables, type Variables } from "../variables/useVariables";
import { type Requests, useRequests } from "./useRequests";

export interface RequestPanelProps {
  generationId: string;
  client?: PreviewClient;
  theme?: ThemeChoice;
  /** Called before a line is brought into sight in the log, where that may be hidden. */
  onShowLog?: (() => void) | undefined;
  /** Called to show a failure of a recorded request; without it there is no way from one to the other. */
  onShowFailure?: (failureId: string) => void;
  /** Called to show an endpoint's source; without it the place is only named. */
  onOpenFile?: ((path: string, line: number) => void) | undefined;
  /** Replaces words shown, by their English text. */
  texts?: Texts;
  className?: string;
  style?: CSSProperties;
}

/** The endpoints of a generation, requests to its running preview, and their answers. It fills its parent. */
export function RequestPanel(props: RequestPanelProps): ReactNode {
  return (
    <TextsProvider texts={props.texts}>
      <Contained name={english("This panel")} key={props.generationId}>
        <WholeRequestPanel {...props} />
      </Contained>
    </TextsProvider>
  );
}

function WholeRequestPanel(props: RequestPanelProps): ReactNode {
  const t = useTranslate();
  const { generationId, client } = props;
  const used = usePreviewClient(client);
  const role = useRole();
  const { instance } = usePreview(generationId, { client, poll: false });
  const isRunning = instance?.status === "running";
  const requests = useRequests(generationId, client);
  const found = useEndpoints(generationId, `${instance?.id ?? ""} ${isRunning} ${requests.restarts}`, client);
  const { desk, view } = requests;
  const { listing } = found;
  const unavailable = role === "watch" ? t(WATCHING) : isRunning ? null : unavailableBecause(t, instance?.status);
  useEffect(() => {
    if (listing) desk.learn(listing.endpoints);
  }, [desk, listing]);
  const isHere = useRef(true);
  useEffect(() => {
    isHere.current = true;
    return () => {
      isHere.current = false;
    };
  }, []);
  // A person who went elsewhere while the failure was looked up stays there.
  const showFailure =
    props.onShowFailure &&
    ((failureId: string): void => {
      if (isHere.current) props.onShowFailure?.(failureId);
    });
  const tabs: (readonly [DeskView, string])[] = [
    [
      "endpoints",
      found.listing
        ? t("Endpoints ({endpoints}{more})", {
            endpoints: found.listing.endpoints.length,
            more: found.listing.complete ? "" : "+",
          })
        : t("Endpoints"),
    ],
    ["request", t("Request")],
    ["records", t("Recorded")],
    ["socket", t("WebSocket")],
    ["compare", t("Compare")],
  ];
  return (
    <div
      className={classes(tokens.root, styles.panel, props.className)}
      style={{ colorScheme: colorScheme(props.theme ?? "system"), ...props.style }}
    >
      <Tabs label={t("Endpoints and requests")} tabs={tabs} tab={view} onTab={desk.look} />
      <div className={panel.view} role="tabpanel" aria-label={tabLabel(tabs, view)}>
        {view === "endpoints" && (
          <EndpointsView
            found={found}
            isRunning={isRunning}
            onDraft={desk.begin}
            onPick={desk.pick}
            onSocket={desk.pickSocket}
          />
        )}
        {view === "request" && (
          <RequestView
            client={used}
            generationId={generationId}
            requests={requests}
            onShowLog={props.onShowLog}
            onOpenFile={props.onOpenFile}
            onWhy={async (requestId) => showCause(used, generationId, requestId, desk, showFailure)}
            baseUrl={instance?.base_url ?? null}
            isLaunched={instance !== null}
            unavailable={unavailable}
          />
        )}
        {view === "records" && (
          <RecordsPanel
            generationId={generationId}
            client={client}
            desk={desk}
            onShowLog={props.onShowLog}
            onShowFailure={props.onShowFailure}
          />
        )}
        {view === "socket" && (
          <SocketPanel
            generationId={generationId}
            client={client}
            sockets={listing?.sockets ?? []}
            path={requests.socketPath ?? listing?.sockets[0]?.path ?? ""}
            onPath={desk.pickSocket}
            unavailable={unavailable}
          />
        )}
        {view === "compare" && <ComparePanel generationId={generationId} client={client} />}
      </div>
    </div>
  );
}

/** Show the failure of a request, or else its record. */
async function showCause(
  client: PreviewClient,
  generationId: string,
  requestId: string,
  desk: RequestDesk,
  onShowFailure: ((failureId: string) => void) | undefined,
): Promise<void> {
  const number = await findRecord(client, generationId, requestId);
  if (number === null) throw new Problem("This request was not recorded, or its record was deleted.");
  const { failure } = await readRecord(client, generationId, number);
  if (failure !== null && onShowFailure) onShowFailure(failure);
  else desk.showRecord(number);
}

const WATCHING = english("You may only watch this preview. Its owner can let you send requests.");

function unavailableBecause(t: Translate, status: string | undefined): string {
  if (status === "starting") return t("The preview is starting; requests can be sent once it is ready.");
  return t("The preview is not running. Launch it to send requests.");
}

function EndpointsView({
  found,
  isRunning,
  onDraft,
  onPick,
  onSocket,
}: {
  found: ReturnType<typeof useEndpoints>;
  isRunning: boolean;
  onDraft: (draft: Draft) => void;
  onPick: (endpoint: Endpoint) => void;
  onSocket: (path: string) => void;
}): ReactNode {
  const t = useTranslate();
  const { listing, problem } = found;
  if (listing && listing.endpoints.length + listing.sockets.length > 0)
    return <EndpointList listing={listing} onPick={onPick} onSocket={onSocket} />;
  if (problem)
    return (
      <div className={styles.pad}>
        <Notice tone="bad">{problem.message}</Notice>
      </div>
    );
  if (!listing) return <p className={panel.none}>{t("Looking for endpoints…")}</p>;
  return (
    <div className={panel.none}>
      <p>
        {isRunning
          ? t(
              "No endpoints were found in the source, in an OpenAPI document or in a route table of the preview. You can still send requests.",
            )
          : t(
              "No endpoints were found in the source. More may appear once the preview runs, from its OpenAPI document and its route table.",
            )}
      </p>
      <Unread listing={listing} />
      <Button onClick={() => onDraft(EMPTY)}>{t("Write a request")}</Button>
    </div>
  );
}

interface RequestViewProps {
  onOpenFile: ((path: string, line: number) => void) | undefined;
  requests: Requests;
  onShowLog: (() => void) | undefined;
  onWhy: (requestId: string) => Promise<void>;
  client: PreviewClient;
  generationId: string;
  baseUrl: string | null;
  isLaunched: boolean;
  unavailable: string | null;
}

function RequestView(props: RequestViewProps): ReactNode {
  const { client, generationId, requests, onShowLog, onOpenFile, onWhy, baseUrl, isLaunched, unavailable } = props;
  const { desk, draft, shown, logLines, isExact } = requests;
  const t = useTranslate();
  const role = useRole();
  const variables = useVariables(client, role === "watch" ? null : generationId);
  const ready = filledDraft(draft, variables.known.values);
  const show = (seq: number): void => {
    onShowLog?.();
    requests.reveal(seq);
  };
  return (
    <Editor
      draft={draft}
      onDraft={desk.write}
      onSend={() => void requests.send(draft, { draft: ready, resolve: needsService(draft, variables.known) })}
      onCancel={desk.cancel}
      isSending={shown?.isOn ?? false}
      unavailable={unavailable}
      onOpenFile={onOpenFile}
      baseUrl={baseUrl}
      ready={ready}
      variables={variables}
      blocked={variableProblem(t, draft, variables.known, role === "owner")}
      earlier={
        <Earlier
          key={`${draft.method} ${draft.path}`}
          {...{ client, generationId, draft, baseUrl, isLaunched, variables }}
          revision={requests.settled}
          onDraft={desk.begin}
        />
      }
      takePicked={desk.takePicked}
      hasResponse={shown !== null && (shown.isOn || shown.answer !== null)}
    >
      {shown && (
        <Contained key={shown.sent.id} name={english("The response")}>
          <Outcome
            exchange={shown}
            onToken={desk.useToken}
            onWhy={onWhy}
            variables={role === "owner" ? variables : null}
          />
        </Contained>
      )}
      {shown && <LogLines key={`log-${shown.sent.id}`} lines={logLines} isExact={isExact} onShow={show} />}
    </Editor>
  );
}

interface OutcomeProps {
  exchange: Exchange;
  onToken: (token: string) => void;
  onWhy: (requestId: string) => Promise<void>;
  /** Where values of the response can be kept; null where they cannot. */
  variables: Variables | null;
}

/** What came of a request: its answer, why there is none, or that it is waited for. */
function Outcome({ exchange, onToken, onWhy, variables }: OutcomeProps): ReactNode {
  const { sent, answer, problem, isOn } = exchange;
  const name = visible(`${sent.draft.method} ${sent.target}`);
  if (isOn && exchange.growing) return <Growing name={name} answer={exchange.growing} />;
  if (isOn) return <Waiting name={name} since={sent.at} />;
  if (answer) return <Answer {...{ name, answer, onToken, onWhy, variables }} />;
  const failed = problem?.message ?? sent.error;
  return (
    <div className={styles.pad}>
      <Notice tone="bad" role="alert">
        <code>{name}</code>: {failed}
      </Notice>
    </div>
  );
}

function Waiting({ name, since }: { name: string; since: number }): ReactNode {
  const t = useTranslate();
  const seconds = Math.floor((useNow(1_000) - since) / 1_000);
  return (
    <div className={answerStyles.answer}>
      <p className={panel.none}>
        <span role="status">
          {t("Waiting for the response to")} <code>{name}</code>…
        </span>{" "}
        {seconds > 0 && <span className={panel.fact}>{duration(seconds)}</span>}
      </p>
    </div>
  );
}
