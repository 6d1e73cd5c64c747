import type { ReactNode } from "react";

import {
  AlertsPanel,
  DataPanel,
  FailuresPanel,
  type FilePlace,
  FilesPanel,
  HistoryPanel,
  MetricsPanel,
  PeoplePanel,
  RequestPanel,
  SettingsPanel,
  TestsPanel,
  type ThemeChoice,
} from "../lib";
import type { IconName } from "../lib/ui/icons";
import { writeView } from "./address";

/** What the panes of one project get. */
export interface PaneContext {
  generationId: string;
  name: string;
  theme: ThemeChoice;
  /** The view in the page's address, when the project was opened. */
  query: URLSearchParams;
  /** How often earlier launches were asked for. */
  earlier: number;
  /** How often the variable that a failed launch missed was asked for. */
  missing: number;
  /** The failure and the file that are open; null for their lists. */
  failure: string | null;
  file: FilePlace | null;
  onFailure: (failureId: string | null) => void;
  onFile: (place: FilePlace | null) => void;
  /** Leave the pane for the log; undefined where the log is always in sight. */
  onShowLog: (() => void) | undefined;
  /** Open another pane with this in it. */
  /** Show a failure; `from` is the pane that asked, if it asked some time ago. */
  showFailure: (failureId: string, from?: string) => void;
  showRequest: (number: number) => void;
  openFile: (path: string, line: number) => void;
  /** Go to another project. */
  onShow: (generationId: string) => void;
}

export interface Pane {
  id: string;
  icon: IconName;
  word: string;
  /** Tables and editors take more of the screen than the log. */
  isWide?: boolean;
  /** Stays as it is while another pane is shown: it has text that is not saved, or is slow to fetch. */
  isKept?: boolean;
  render: (context: PaneContext) => ReactNode;
}

/** The panes beside the log, in their order. One line adds one; its panel is fetched when it is shown first. */
export const PANES: readonly Pane[] = [
  { id: "requests", icon: "send", word: "Requests", isKept: true, render: (context) => <Requests {...context} /> },
  {
    id: "files",
    icon: "folder",
    word: "Files",
    isWide: true,
    isKept: true,
    render: (context) => <Files {...context} />,
  },
  { id: "failures", icon: "bug", word: "Failures", render: (context) => <Failures {...context} /> },
  { id: "tests", icon: "check", word: "Tests", render: (context) => <Tests {...context} /> },
  { id: "alerts", icon: "bell", word: "Alerts", render: (context) => <Alerts {...context} /> },
  { id: "data", icon: "data", word: "Data", isWide: true, isKept: true, render: (context) => <Data {...context} /> },
  {
    id: "history",
    icon: "clock",
    word: "History",
    isWide: true,
    render: (context) => <History {...context} />,
  },
  { id: "metrics", icon: "chart", word: "Metrics", render: (context) => <MetricsPanel {...common(context)} /> },
  { id: "people", icon: "person", word: "People", render: (context) => <People {...context} /> },
  { id: "settings", icon: "sliders", word: "Settings", isKept: true, render: (context) => <Settings {...context} /> },
];

function common({ generationId, theme, onShowLog }: PaneContext) {
  return { generationId, theme, onShowLog };
}

function Requests(context: PaneContext): ReactNode {
  return (
    <RequestPanel
      {...common(context)}
      onShowFailure={(failureId) => context.showFailure(failureId, "requests")}
      onOpenFile={context.openFile}
    />
  );
}

function Files(context: PaneContext): ReactNode {
  return <FilesPanel {...common(context)} shown={context.file} onShown={context.onFile} />;
}

function Failures(context: PaneContext): ReactNode {
  const { failure, onFailure, showRequest, openFile } = context;
  return (
    <FailuresPanel
      {...common(context)}
      shown={failure}
      onShown={onFailure}
      onShowRequest={showRequest}
      onOpenFile={openFile}
    />
  );
}

function Tests(context: PaneContext): ReactNode {
  return <TestsPanel {...common(context)} onShowFailure={context.showFailure} onShowRequest={context.showRequest} />;
}

function Alerts(context: PaneContext): ReactNode {
  return <AlertsPanel {...common(context)} name={context.name} onShowRequest={context.showRequest} />;
}

function Data({ generationId, name, theme, onShow }: PaneContext): ReactNode {
  return <DataPanel generationId={generationId} name={name} theme={theme} onShow={onShow} />;
}

function History(context: PaneContext): ReactNode {
  const { generationId, query, earlier } = context;
  const previewId = query.get("launch");
  return (
    <HistoryPanel
      key={earlier}
      {...(earlier > 0 && { tab: "launches" as const })}
      {...common(context)}
      shown={previewId ? { previewId, line: Number(query.get("launch_line")) || null } : null}
      onShown={(place) =>
        writeView(generationId, {
          launch: place?.previewId ?? null,
          launch_line: place?.line ? String(place.line) : null,
        })
      }
    />
  );
}

function People(context: PaneContext): ReactNode {
  return <PeoplePanel {...common(context)} onShowFailure={context.showFailure} onShowRequest={context.showRequest} />;
}

function Settings(context: PaneContext): ReactNode {
  return <SettingsPanel {...common(context)} onOpenFile={context.openFile} asked={context.missing} />;
}
