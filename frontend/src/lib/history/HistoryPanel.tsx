import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { usePreviewClient } from "../context";
import { useTranslate, english } from "../texts/translate";
import { Panel, type PanelProps } from "../ui/Panel";
import { Tabs } from "../ui/Tabs";
import styles from "./history.module.css";
import { Launches } from "./Launches";
import type { LaunchPlace } from "./LaunchView";
import { Versions } from "./Versions";

export interface HistoryPanelProps extends PanelProps {
  client?: PreviewClient | undefined;
  /** The tab to begin with. Default: versions, or launches where one is open. */
  tab?: "versions" | "launches";
  /** The launch that is open first, and what is called when another one is. */
  shown?: LaunchPlace | null;
  onShown?: (place: LaunchPlace | null) => void;
}

const TABS = [
  ["versions", english("Versions")],
  ["launches", english("Launches")],
] as const;

/** Earlier states of a generation: versions of its files, and its launches. It fills its parent. */
export function HistoryPanel(props: HistoryPanelProps): ReactNode {
  const t = useTranslate();
  const client = usePreviewClient(props.client);
  const [place, setPlace] = useState(props.shown ?? null);
  const [tab, setTab] = useState<"versions" | "launches">(props.tab ?? (place ? "launches" : "versions"));
  const show = (next: LaunchPlace | null): void => {
    setPlace(next);
    props.onShown?.(next);
  };
  return (
    <Panel {...props} label={t("History")}>
      <Tabs
        label={t("History")}
        tabs={TABS.map(([name, words]) => [name, t(words)] as const)}
        tab={tab}
        onTab={setTab}
      />
      <div role="tabpanel" aria-label={tab === "versions" ? t("Versions") : t("Launches")} className={styles.body}>
        {tab === "versions" ? (
          <Versions
            client={client}
            generationId={props.generationId}
            onLaunch={(previewId) => {
              setTab("launches");
              show({ previewId, line: null });
            }}
          />
        ) : (
          <Launches client={client} generationId={props.generationId} place={place} onPlace={show} />
        )}
      </div>
    </Panel>
  );
}
