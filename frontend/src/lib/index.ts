export { PreviewClient } from "./api/client";
export type {
  DataDatabase,
  DataServer,
  DataTable,
  FileChange,
  QueryRows,
  Replaced,
  Snapshot,
  SnapshotDiff,
  SnapshotKind,
  SnapshotPart,
  TableChange,
  TableRows,
} from "./api/data";
export { Problem } from "./api/problem";
export type { ClientOptions } from "./api/transport";
export type {
  EndEvent,
  Endpoint,
  EndpointListing,
  EndpointSource,
  GapEvent,
  Generation,
  Health,
  Level,
  LogLine,
  PreviewInstance,
  PreviewState,
  PreviewStatus,
  ProxyRequest,
  ProxyResponse,
  Source,
  StatusEvent,
  StopCause,
  ToldStep,
} from "./api/types";
export { PreviewProvider, type PreviewProviderProps, usePreviewClient } from "./context";
export type { DataPanelProps } from "./data/DataPanel";
export { LaunchPanel, type LaunchPanelProps } from "./launch/LaunchPanel";
export { LAUNCH_TEXTS, type LaunchTexts } from "./launch/texts";
export type { LaunchStep } from "./logs/steps";
export { LogStore } from "./logs/store";
export { type LogLook, lookOfAddress, lookToAddress } from "./logs/look";
export type { LogFilter } from "./logs/view";
export type { AlertsPanelProps } from "./alerts/AlertsPanel";
export type { FailuresPanelProps } from "./failures/FailuresPanel";
export type { FilePlace, FilesPanelProps } from "./files/FilesPanel";
export type { SettingsPanelProps } from "./settings/SettingsPanel";
export {
  AlertsPanel,
  DataPanel,
  FailuresPanel,
  FilesPanel,
  HistoryPanel,
  MetricsPanel,
  PeoplePanel,
  RecordsPanel,
  SettingsPanel,
  TestsPanel,
} from "./panels";
export type { PeoplePanelProps } from "./together/PeoplePanel";
export type { MetricsPanelProps } from "./charts/MetricsPanel";
export type { HistoryPanelProps } from "./history/HistoryPanel";
export type { TestsPanelProps } from "./trials/TestsPanel";
export type { RecordsPanelProps } from "./traffic/RecordsPanel";
export { RequestPanel, type RequestPanelProps } from "./request/RequestPanel";
export type { ConnectionState } from "./stream/connection";
export { PreviewTerminal, type PreviewTerminalProps } from "./TerminalPiece";
export { TERMINAL_TEXTS, TERMINAL_TOOLS, type TerminalTexts, type TerminalTool } from "./terminal/texts";
export { ENGLISH, type English } from "./texts/english";
export type { Texts } from "./texts/translate";
export type { ThemeChoice } from "./ui/theme";
export { type Preview, usePreview, type UsePreviewOptions } from "./usePreview";
export { type PreviewLog, type PreviewLogs, usePreviewLogs, type UsePreviewLogsOptions } from "./usePreviewLogs";
export { type PreviewData, usePreviewData, type UsePreviewDataOptions } from "./usePreviewData";
export { type PreviewSnapshots, usePreviewSnapshots } from "./usePreviewSnapshots";
