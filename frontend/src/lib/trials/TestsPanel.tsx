import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { usePreviewClient } from "../context";
import { useTranslate } from "../texts/translate";
import { Panel, type PanelProps } from "../ui/Panel";
import panel from "../ui/panel.module.css";
import { tabLabel, Tabs } from "../ui/Tabs";
import { usePreview } from "../usePreview";
import { ChecksView } from "./ChecksView";
import { ProbeView } from "./ProbeView";

export interface TestsPanelProps extends PanelProps {
  client?: PreviewClient | undefined;
  /** Called before a line is brought into sight in the log, where that may be hidden. */
  onShowLog?: (() => void) | undefined;
  /** Called to show a failure. */
  onShowFailure?: ((failureId: string) => void) | undefined;
  /** Called to show a recorded request. */
  onShowRequest?: ((number: number) => void) | undefined;
}

/** Tests of a generation: a probe of its endpoints, and the checks beside its code. It fills its parent. */
export function TestsPanel(props: TestsPanelProps): ReactNode {
  const t = useTranslate();
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const { instance } = usePreview(generationId, { client, poll: false });
  const [view, show] = useState<"probe" | "checks">("probe");
  const tabs: (readonly ["probe" | "checks", string])[] = [
    ["probe", t("Probe")],
    ["checks", t("Checks")],
  ];
  return (
    <Panel {...props} label={t("Tests")}>
      <Tabs label={t("Tests")} tabs={tabs} tab={view} onTab={show} />
      <div className={panel.view} role="tabpanel" aria-label={tabLabel(tabs, view)}>
        {view === "probe" && (
          <ProbeView client={client} generationId={generationId} onShowFailure={props.onShowFailure} />
        )}
        {view === "checks" && (
          <ChecksView client={client} generationId={generationId} isRunning={instance?.status === "running"} />
        )}
      </div>
    </Panel>
  );
}
