import { type ComponentType, lazy, type ReactNode, Suspense } from "react";

import type { AlertsPanelProps } from "./alerts/AlertsPanel";
import type { DataPanelProps } from "./data/DataPanel";
import type { FilesPanelProps } from "./files/FilesPanel";
import type { FailuresPanelProps } from "./failures/FailuresPanel";
import type { HistoryPanelProps } from "./history/HistoryPanel";
import type { SettingsPanelProps } from "./settings/SettingsPanel";
import type { MetricsPanelProps } from "./charts/MetricsPanel";
import { english, type Texts, TextsProvider, useTranslate } from "./texts/translate";
import type { PeoplePanelProps } from "./together/PeoplePanel";
import type { ComparePanelProps } from "./traffic/ComparePanel";
import type { RecordsPanelProps } from "./traffic/RecordsPanel";
import type { SocketPanelProps } from "./sockets/SocketPanel";
import type { TestsPanelProps } from "./trials/TestsPanel";
import { Contained } from "./ui/Contained";
import styles from "./ui/loading.module.css";
import tokens from "./ui/tokens.module.css";

/** Panels that are fetched when they are shown for the first time. */

interface OfGeneration {
  generationId: string;
  texts?: Texts;
}

function fetched<Props extends OfGeneration>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  const Whole = lazy(async () => ({ default: await load() }));
  return function Fetched(props: Props): ReactNode {
    const Panel = Whole as unknown as ComponentType<Props>;
    return (
      <TextsProvider texts={props.texts}>
        <Contained name={english("This panel")} key={props.generationId}>
          <Suspense fallback={<Loading />}>
            <Panel {...props} />
          </Suspense>
        </Contained>
      </TextsProvider>
    );
  };
}

function Loading(): ReactNode {
  const t = useTranslate();
  return <p className={`${tokens.root} ${styles.loading}`}>{t("Loading…")}</p>;
}

/** The recorded requests of a generation's preview. */
export const RecordsPanel = fetched<RecordsPanelProps>(
  async () => (await import("./traffic/RecordsPanel")).RecordsPanel,
);

/** Two versions of a generation, compared by their responses. */
export const ComparePanel = fetched<ComparePanelProps>(
  async () => (await import("./traffic/ComparePanel")).ComparePanel,
);

/** A WebSocket of a generation's preview. */
export const SocketPanel = fetched<SocketPanelProps>(async () => (await import("./sockets/SocketPanel")).SocketPanel);

/** The data of a generation's preview: servers, databases, read-only SQL and snapshots. */
export const DataPanel = fetched<DataPanelProps>(async () => (await import("./data/DataPanel")).DataPanel);

/** The failures of a generation's preview: tracebacks, grouped by cause. */
export const FailuresPanel = fetched<FailuresPanelProps>(
  async () => (await import("./failures/FailuresPanel")).FailuresPanel,
);

/** The probe of a generation's endpoints, and the checks beside its code. */
export const TestsPanel = fetched<TestsPanelProps>(async () => (await import("./trials/TestsPanel")).TestsPanel);

/** The files of a generation: a tree, and an editor that saves and reloads. */
export const FilesPanel = fetched<FilesPanelProps>(async () => (await import("./files/FilesPanel")).FilesPanel);

/** The people at a generation's preview, and their comments. */
export const PeoplePanel = fetched<PeoplePanelProps>(async () => (await import("./together/PeoplePanel")).PeoplePanel);

/** Alert rules for a generation's previews, and their firings. */
export const AlertsPanel = fetched<AlertsPanelProps>(async () => (await import("./alerts/AlertsPanel")).AlertsPanel);

/** Launch settings of a generation's project: variables, secrets, presets, start options. */
export const SettingsPanel = fetched<SettingsPanelProps>(
  async () => (await import("./settings/SettingsPanel")).SettingsPanel,
);

/** Earlier states of a generation: versions of its files, and its launches. */
export const HistoryPanel = fetched<HistoryPanelProps>(
  async () => (await import("./history/HistoryPanel")).HistoryPanel,
);

/** Memory, processor, requests and latencies of a generation's preview, since its launch. */
export const MetricsPanel = fetched<MetricsPanelProps>(
  async () => (await import("./charts/MetricsPanel")).MetricsPanel,
);
