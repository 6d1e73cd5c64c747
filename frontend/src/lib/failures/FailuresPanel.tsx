import { type ReactNode, useEffect, useState } from "react";

import type { PreviewClient } from "../api/client";
import { usePreviewClient } from "../context";
import { useTranslate } from "../texts/translate";
import { Panel, type PanelProps } from "../ui/Panel";
import { FailureList } from "./FailureList";
import { FailureView } from "./FailureView";
import { useFailures } from "./useFailures";

export interface FailuresPanelProps extends PanelProps {
  client?: PreviewClient | undefined;
  /** Id of the failure that is open; null for the list. Without it, the panel knows itself. */
  shown?: string | null;
  onShown?: (failureId: string | null) => void;
  /** Called before a line is brought into sight in the log, where that may be hidden. */
  onShowLog?: (() => void) | undefined;
  /** Called to show a recorded request. */
  onShowRequest?: ((number: number) => void) | undefined;
  /** Called to show a line of the project's own code. */
  onOpenFile?: ((path: string, line: number) => void) | undefined;
}

/** The failures of a generation's preview: tracebacks, grouped by cause. It fills its parent. */
export function FailuresPanel(props: FailuresPanelProps): ReactNode {
  const t = useTranslate();
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const failures = useFailures(client, generationId);
  const [own, setOwn] = useState<string | null>(null);
  const [last, setLast] = useState<string | null>(null);
  const isControlled = props.shown !== undefined;
  const shown = isControlled ? props.shown : own;
  useEffect(() => {
    if (shown != null) setLast(shown);
  }, [shown]);
  const show = (id: string | null): void => {
    setOwn(id);
    props.onShown?.(id);
  };
  return (
    <Panel {...props} label={t("Failures")}>
      {shown == null ? (
        <FailureList failures={failures} last={last} onShow={show} />
      ) : (
        <FailureView
          key={shown}
          client={client}
          generationId={generationId}
          id={shown}
          revision={failures.revision}
          reloads={failures.reloads}
          onBack={() => show(null)}
          onShowLog={props.onShowLog}
          onShowRequest={props.onShowRequest}
          onOpenFile={props.onOpenFile}
        />
      )}
    </Panel>
  );
}
