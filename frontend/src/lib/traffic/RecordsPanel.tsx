import { type ReactNode, useCallback, useState, useSyncExternalStore } from "react";

import type { PreviewClient } from "../api/client";
import { usePreviewClient } from "../context";
import type { Term } from "../filter/terms";
import { useTerms } from "../filter/useTerms";
import { deskOf, type RequestDesk } from "../request/desk";
import { useTranslate } from "../texts/translate";
import panel from "../ui/panel.module.css";
import { usePreview } from "../usePreview";
import { RecordList } from "./RecordList";
import { RecordView } from "./RecordView";
import { useRecords } from "./useRecords";
import { useReplaySelected } from "./useReplaySelected";

export interface RecordsPanelProps {
  generationId: string;
  client?: PreviewClient | undefined;
  /** The request in the making, where another part of the page has it. */
  desk?: RequestDesk;
  onShowLog?: (() => void) | undefined;
  onShowFailure?: ((failureId: string) => void) | undefined;
}

/** The recorded requests of a generation's preview, or one of them in full. */
export function RecordsPanel(props: RecordsPanelProps): ReactNode {
  const t = useTranslate();
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const desk = props.desk ?? deskOf(client, generationId);
  const { instance, isLoaded } = usePreview(generationId, { client, poll: false });
  const number = useSyncExternalStore(
    desk.subscribe,
    () => desk.snapshot.record,
    () => desk.snapshot.record,
  );
  const [shownTerms, setTerms] = useState<readonly Term[]>([]);
  const onTerms = useCallback((next: Term[]) => setTerms(next), []);
  const terms = useTerms(client, shownTerms, onTerms, "on_requests");
  const records = useRecords(client, generationId, instance?.id ?? "", terms.filter);
  const selection = useReplaySelected(client, generationId, instance?.id ?? "", records.records);
  const [last, setLast] = useState<number | null>(null);
  if (isLoaded && instance === null)
    return <p className={panel.none}>{t("Launch the preview: requests to it are recorded here.")}</p>;
  if (number !== null)
    return (
      <RecordView
        key={number}
        client={client}
        generationId={generationId}
        number={number}
        desk={desk}
        isRunning={instance?.status === "running"}
        onBack={() => {
          setLast(number);
          desk.showRecord(null);
        }}
        onChanged={records.put}
        onShowLog={props.onShowLog}
        onShowFailure={props.onShowFailure}
      />
    );
  return (
    <RecordList
      client={client}
      generationId={generationId}
      desk={desk}
      records={records}
      terms={terms}
      selection={selection}
      last={last}
      isRunning={instance?.status === "running"}
    />
  );
}
