import { lazy, type ReactNode, Suspense, useCallback, useEffect, useState } from "react";

import { LaunchPanel, type LogLook, lookOfAddress, lookToAddress, type ThemeChoice, usePreviewClient } from "../lib";
import { changeMe } from "../lib/api/together";
import { useLatest } from "../lib/ui/useLatest";
import { deskOf } from "../lib/request/desk";
// Not the lazy one of the library: the log is the first thing to see here.
import { PreviewTerminal } from "../lib/terminal/PreviewTerminal";
import { projectOf, viewOf, writeView } from "./address";
import styles from "./workspace.module.css";
import { type PaneContext, PANES } from "./panes";
import { PaneSwitch } from "./PaneSwitch";
import { Splitter, useSplit } from "./Splitter";
import { useFilePlace } from "./useFilePlace";
import { useRequestPlace } from "./useRequestPlace";
import { useSmallScreen } from "./useSmallScreen";
import type { Project } from "./useProjects";

const LineMarks = lazy(() => import("../lib/together/LineMarks"));

interface WorkspaceProps {
  project: Project;
  theme: ThemeChoice;
  onSignIn: () => void;
  /** Called with the state of the project's preview when it changes. */
  onState: (state: string) => void;
  onShow: (generationId: string) => void;
  nameOf: (generationId: string) => string;
  /** Comments of guests that the person has not read. */
  unread: number;
}

/** The log, as a pane of a small screen. */
const LOG = "log";
/** The pane that an address without a name means. */
const FIRST = "requests";

/** One project: its preview, and its log beside one of the panes; on a small screen one of them at a time. */
export function Workspace(props: WorkspaceProps): ReactNode {
  const { project, theme, onSignIn, onShow, nameOf, unread, onState } = props;
  const { id, name } = project;
  const view = useAddressOf(id);
  const [pane, setPane] = useState(() => paneOf(view.query));
  // How often the variable that a failed launch missed was asked for, and of which project.
  const [asked, setAsked] = useState({ id, count: 0 });
  const missing = asked.id === id ? asked.count : 0;
  const isSmall = useSmallScreen();
  // A large screen always shows the log.
  const shown = isSmall || pane !== LOG ? pane : FIRST;
  const show = useCallback(
    (next: string): void => {
      setPane(next);
      // Without a name, an address means the log on a small screen.
      writeView(id, { show: next === LOG ? null : next });
    },
    [id],
  );
  // While it renders, and not afterwards: panes that a new address brings never have the pane before it.
  const [round, setRound] = useState(view.round);
  if (round !== view.round) {
    setRound(view.round);
    if (view.round > 0) setPane(paneOf(view.query));
  }
  useRead(id, shown === "people" ? unread : 0);
  const split = useSplit();
  const width = PANES.find((one) => one.id === shown)?.isWide ? "wide" : shown === LOG ? "log" : "even";
  return (
    <main
      id="main"
      tabIndex={-1}
      className={styles.workspace}
      data-pane={shown}
      data-width={width}
      data-alone={!isSmall && split.isAlone}
    >
      <LaunchPanel
        {...{ name, theme, onSignIn, onShow, nameOf, onState }}
        generationId={id}
        onShowMetrics={() => show("metrics")}
        onShowSettings={() => {
          setAsked({ id, count: missing + 1 });
          show("settings");
        }}
      />
      <div className={styles.panes} style={split.style}>
        {!isSmall && <Splitter split={split} />}
        <PaneSwitch shown={shown} isSmall={isSmall} unread={unread} onShow={show} />
        <Panes key={`${id} ${view.round}`} {...props} query={view.query} pane={shown} missing={missing} onPane={show} />
      </div>
    </main>
  );
}

interface PanesProps extends WorkspaceProps {
  query: URLSearchParams;
  pane: string;
  missing: number;
  onPane: (pane: string) => void;
}

function Panes({ project, theme, onShow, query, pane, missing, onPane }: PanesProps): ReactNode {
  const { id, name } = project;
  const client = usePreviewClient();
  const seen = useSeen(pane);
  const [failure, setFailure] = useState(query.get("failure"));
  const [earlier, setEarlier] = useState(0);
  const onLook = useCallback((look: LogLook) => writeView(id, lookToAddress(look)), [id]);
  const showLog = useCallback(() => onPane(LOG), [onPane]);
  // Beside the log, a large screen goes on showing what is open.
  const onShowLog = useSmallScreen() ? showLog : undefined;
  const onFailure = useCallback(
    (failureId: string | null) => {
      setFailure(failureId);
      writeView(id, { failure: failureId });
    },
    [id],
  );
  const paneNow = useLatest(pane);
  const showFailure = useCallback(
    (failureId: string, from?: string) => {
      // A person who went elsewhere while the failure was looked up stays there.
      if (from !== undefined && from !== paneNow()) return;
      onFailure(failureId);
      onPane("failures");
    },
    [onFailure, onPane, paneNow],
  );
  const showRequest = useCallback(
    (number: number) => {
      deskOf(client, id).showRecord(number);
      onPane("requests");
    },
    [client, id, onPane],
  );
  useRequestPlace(id, query);
  const files = useFilePlace(
    id,
    query,
    useCallback(() => onPane("files"), [onPane]),
  );
  const [lineMarks, setLineMarks] = useState<ReadonlyMap<number, string>>(new Map());
  const context: PaneContext = {
    ...{
      generationId: id,
      name,
      theme,
      query,
      earlier,
      missing,
      failure,
      onFailure,
      onShowLog,
      showFailure,
      showRequest,
      onShow,
    },
    file: files.place,
    onFile: files.onPlace,
    openFile: files.openFile,
  };
  return (
    <>
      <div className={styles.logPane}>
        <PreviewTerminal
          generationId={id}
          theme={theme}
          look={lookOfAddress(query)}
          onLook={onLook}
          onOpenFile={files.openFile}
          lineMarks={lineMarks}
          onEarlier={() => {
            setEarlier((now) => now + 1);
            onPane("history");
          }}
          end={false}
        />
        <Suspense>
          <LineMarks generationId={id} onMarks={setLineMarks} />
        </Suspense>
      </div>
      {PANES.map((one) => {
        const isShown = one.id === pane;
        if (!isShown && !(one.isKept && seen.has(one.id))) return null;
        return (
          <div key={one.id} className={styles.otherPane} hidden={!isShown}>
            {one.render(context)}
          </div>
        );
      })}
    </>
  );
}

/** Say that the comments have been read, which are in sight. */
function useRead(id: string, unread: number): void {
  const client = usePreviewClient();
  useEffect(() => {
    // The next comment tries again.
    if (unread > 0) void changeMe(client, id, { comments_read: true }).catch(() => undefined);
  }, [client, id, unread]);
}

/** The panes that have been shown. */
function useSeen(pane: string): ReadonlySet<string> {
  // What a request was typed into, or sent from, is there before it is shown.
  const [seen, setSeen] = useState<ReadonlySet<string>>(() => new Set([FIRST, pane]));
  if (!seen.has(pane)) setSeen(new Set([...seen, pane]));
  return seen;
}

function paneOf(query: URLSearchParams): string {
  const named = query.get("show");
  return PANES.find((one) => one.id === named)?.id ?? LOG;
}

/** The view of a project's address; `round` grows when the person goes to another one of the same project. */
function useAddressOf(id: string): { query: URLSearchParams; round: number } {
  const [state, setState] = useState(() => ({ id, query: queryOf(id), round: 0 }));
  if (state.id !== id) setState({ id, query: queryOf(id), round: 0 });
  useEffect(() => {
    const look = (event: HashChangeEvent): void => {
      if (projectOf(location.hash) !== id) return;
      // An address without a project shows this one as well; choosing it by its name changes nothing.
      const isNew = projectOf(new URL(event.oldURL).hash) === id || viewOf(location.hash).toString() !== "";
      if (isNew) setState((before) => ({ id, query: queryOf(id), round: before.round + 1 }));
    };
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, [id]);
  return state;
}

function queryOf(id: string): URLSearchParams {
  return projectOf(location.hash) === id ? viewOf(location.hash) : new URLSearchParams();
}
