import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { type AlertRule, listAlerts, previewFirings } from "../api/alerts";
import { usePreviewClient } from "../context";
import { useNewLines } from "../logs/useNewLines";
import { useTranslate } from "../texts/translate";
import { Panel, type PanelProps } from "../ui/Panel";
import { useLoad } from "../ui/useLoad";
import { usePreview } from "../usePreview";
import { useLogSession } from "../usePreviewLogs";
import { isAlert } from "./marks";
import { RuleForm } from "./RuleForm";
import { RuleList } from "./RuleList";
import { RuleView } from "./RuleView";

export interface AlertsPanelProps extends PanelProps {
  client?: PreviewClient | undefined;
  /** What people call the project. */
  name?: string;
  /** Called before a line is brought into sight in the log, where that may be hidden. */
  onShowLog?: (() => void) | undefined;
  /** Called to show a recorded request. */
  onShowRequest?: ((number: number) => void) | undefined;
}

type View = { kind: "list" } | { kind: "rule"; id: string } | { kind: "form"; rule: AlertRule | null };

/** The alert rules of a user, and the firings of a generation's preview. It fills its parent. */
export function AlertsPanel(props: AlertsPanelProps): ReactNode {
  const t = useTranslate();
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const { instance, isLoaded } = usePreview(generationId, { client, poll: false });
  const session = useLogSession(generationId, { client });
  const [view, setView] = useState<View>({ kind: "list" });
  const [last, setLast] = useState<string | null>(null);
  const [revision, refresh] = useNewLines(session, isAlert);
  const version = String(revision);
  const rules = useLoad("alerts", (signal) => listAlerts(client, signal), version);
  const firings = useLoad(
    instance ? `${generationId} ${instance.id}` : null,
    (signal) => previewFirings(client, generationId, signal),
    `${version} ${instance?.status}`,
  );
  const show = (seq: number): void => {
    props.onShowLog?.();
    session.reveal(seq);
  };
  const toList = (id: string | null = null): void => {
    setLast(id);
    setView({ kind: "list" });
    refresh();
  };
  const links = { previewId: instance?.id ?? null, onShow: show, onShowRequest: props.onShowRequest };
  const rule = view.kind === "rule" ? rules.value?.find((one) => one.id === view.id) : undefined;
  return (
    <Panel {...props} label={t("Alerts")}>
      {view.kind === "form" && (
        <RuleForm
          client={client}
          generationId={generationId}
          name={props.name ?? t("this project")}
          rule={view.rule}
          hasPreview={instance !== null}
          onShow={show}
          onDone={toList}
        />
      )}
      {view.kind === "rule" && rule && (
        <RuleView
          client={client}
          generationId={generationId}
          rule={rule}
          version={version}
          links={links}
          onBack={() => toList(rule.id)}
          onEdit={() => setView({ kind: "form", rule })}
          onChanged={rules.refresh}
        />
      )}
      {(view.kind === "list" || (view.kind === "rule" && !rule)) && (
        <RuleList
          generationId={generationId}
          rules={rules}
          firings={firings}
          links={links}
          hasPreview={instance !== null || !isLoaded}
          last={last}
          onRefresh={refresh}
          onAdd={() => setView({ kind: "form", rule: null })}
          onOpen={(id) => setView({ kind: "rule", id })}
        />
      )}
    </Panel>
  );
}
