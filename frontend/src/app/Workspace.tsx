import { type ReactNode, useCallback, useEffect, useState } from "react";

import {
  AlertsPanel,
  DataPanel,
  FailuresPanel,
  FilesPanel,
  LaunchPanel,
  type LogLook,
  lookOfAddress,
  lookToAddress,
  PreviewTerminal,
  RequestPanel,
  SettingsPanel,
  TestsPanel,
  type ThemeChoice,
  usePreviewClient,
} from "../lib";
import { deskOf } from "../lib/request/desk";
import { Icon, type IconName } from "../lib/ui/icons";
import { projectOf, viewOf, writeView } from "./address";
import styles from "./app.module.css";
import { useFilePlace } from "./useFilePlace";
import { useSmallScreen } from "./useSmallScreen";
import type { Project } from "./useProjects";

interface WorkspaceProps {
  project: Project;
  theme: ThemeChoice;
  onSignIn: () => void;
  onShow: (generationId: string) => void;
  nameOf: (generationId: string) => string;
}

type Pane = "log" | "requests" | "files" | "failures" | "tests" | "alerts" | "settings" | "data";
const PANES: readonly (readonly [Pane, IconName, string])[] = [
  ["log", "terminal", "Log"],
  ["requests", "send", "Requests"],
  ["files", "folder", "Files"],
  ["failures", "bug", "Failures"],
  ["tests", "check", "Tests"],
  ["alerts", "bell", "Alerts"],
  ["data", "data", "Data"],
  ["settings", "sliders", "Settings"],
];

/** One project: its preview, and its log beside one of the other panes; on a small screen one of them at a time. */
export function Workspace(props: WorkspaceProps): ReactNode {
  const { project, theme, onSignIn, onShow, nameOf } = props;
  const { id, name } = project;
  const view = useAddressOf(id);
  const [pane, setPane] = useState<Pane>(() => paneOf(view.query));
  const isSmall = useSmallScreen();
  // A large screen always shows the log.
  const shown = isSmall || pane !== "log" ? pane : "requests";
  const show = useCallback(
    (next: Pane): void => {
      setPane(next);
      writeView(id, { show: next === "log" || next === "requests" ? null : next });
    },
    [id],
  );
  useEffect(() => {
    if (view.round > 0) setPane(paneOf(view.query));
  }, [view]);
  return (
    <main className={styles.workspace} data-pane={shown}>
      <LaunchPanel generationId={id} name={name} theme={theme} onSignIn={onSignIn} onShow={onShow} nameOf={nameOf} />
      <div className={styles.panes}>
        <div className={styles.switch} role="group" aria-label="What is shown">
          {PANES.filter(([one]) => isSmall || one !== "log").map(([one, icon, word]) => (
            <button key={one} type="button" aria-pressed={shown === one} onClick={() => show(one)}>
              <Icon name={icon} /> {word}
            </button>
          ))}
        </div>
        <Panes key={`${id} ${view.round}`} {...props} query={view.query} pane={shown} onPane={show} />
      </div>
    </main>
  );
}

interface PanesProps extends WorkspaceProps {
  query: URLSearchParams;
  pane: Pane;
  onPane: (pane: Pane) => void;
}

function Panes({ project, theme, onShow, query, pane, onPane }: PanesProps): ReactNode {
  const { id, name } = project;
  const client = usePreviewClient();
  const [wasDataShown, setDataShown] = useState(pane === "data");
  const [failure, setFailure] = useState(query.get("failure"));
  if (pane === "data" && !wasDataShown) setDataShown(true);
  const onLook = useCallback((look: LogLook) => writeView(id, lookToAddress(look)), [id]);
  const showLog = useCallback(() => onPane("log"), [onPane]);
  // Beside the log, a large screen goes on showing what is open.
  const small = useSmallScreen();
  const onShowLog = small ? showLog : undefined;
  const openFailure = useCallback(
    (failureId: string | null) => {
      setFailure(failureId);
      writeView(id, { failure: failureId });
    },
    [id],
  );
  const showFailure = useCallback(
    (failureId: string) => {
      openFailure(failureId);
      onPane("failures");
    },
    [openFailure, onPane],
  );
  const showRequest = useCallback(
    (number: number) => {
      deskOf(client, id).showRecord(number);
      onPane("requests");
    },
    [client, id, onPane],
  );
  const files = useFilePlace(
    id,
    query,
    useCallback(() => onPane("files"), [onPane]),
  );
  const common = { generationId: id, theme, onShowLog };
  return (
    <>
      <div className={styles.logPane}>
        <PreviewTerminal generationId={id} theme={theme} look={lookOfAddress(query)} onLook={onLook} />
      </div>
      <div className={styles.requestPane}>
        <RequestPanel {...common} onShowFailure={showFailure} />
      </div>
      <div className={styles.otherPane}>
        {pane === "files" && <FilesPanel {...common} shown={files.place} onShown={files.onPlace} />}
        {pane === "failures" && (
          <FailuresPanel
            {...common}
            shown={failure}
            onShown={openFailure}
            onShowRequest={showRequest}
            onOpenFile={files.openFile}
          />
        )}
        {pane === "tests" && <TestsPanel {...common} onShowFailure={showFailure} onShowRequest={showRequest} />}
        {pane === "alerts" && <AlertsPanel {...common} name={name} onShowRequest={showRequest} />}
        {pane === "settings" && <SettingsPanel {...common} onOpenFile={files.openFile} />}
      </div>
      <div className={styles.dataPane}>
        {wasDataShown && <DataPanel generationId={id} name={name} theme={theme} onShow={onShow} />}
      </div>
    </>
  );
}

function paneOf(query: URLSearchParams): Pane {
  const named = query.get("show");
  return PANES.find(([one]) => one === named)?.[0] ?? "log";
}

/** The view of a project's address; `round` grows when the person goes to another one of the same project. */
function useAddressOf(id: string): { query: URLSearchParams; round: number } {
  const [state, setState] = useState(() => ({ id, query: queryOf(id), round: 0 }));
  if (state.id !== id) setState({ id, query: queryOf(id), round: 0 });
  useEffect(() => {
    const look = (event: HashChangeEvent): void => {
      const isSame = projectOf(new URL(event.oldURL).hash) === id && projectOf(location.hash) === id;
      if (isSame) setState((before) => ({ id, query: queryOf(id), round: before.round + 1 }));
    };
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, [id]);
  return state;
}

function queryOf(id: string): URLSearchParams {
  return projectOf(location.hash) === id ? viewOf(location.hash) : new URLSearchParams();
}
