import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { usePreviewClient } from "../context";
import { Panel, type PanelProps } from "../ui/Panel";
import { Tabs } from "../ui/Tabs";
import { Launches } from "./Launches";
import { Versions } from "./Versions";

export interface HistoryPanelProps extends PanelProps {
  client?: PreviewClient | undefined;
}

const TABS = [
  ["versions", "Versions"],
  ["launches", "Launches"],
] as const;

/** Earlier states of a generation: versions of its files, and its launches. It fills its parent. */
export function HistoryPanel(props: HistoryPanelProps): ReactNode {
  const client = usePreviewClient(props.client);
  const [tab, setTab] = useState<"versions" | "launches">("versions");
  return (
    <Panel {...props} label="History">
      <Tabs label="History" tabs={TABS} tab={tab} onTab={setTab} />
      <div role="tabpanel" aria-label={tab === "versions" ? "Versions" : "Launches"}>
        {tab === "versions" ? (
          <Versions client={client} generationId={props.generationId} />
        ) : (
          <Launches client={client} generationId={props.generationId} />
        )}
      </div>
    </Panel>
  );
}
