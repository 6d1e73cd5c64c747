import { type ReactNode, useEffect } from "react";

import type { PreviewClient } from "../api/client";
import type { RecordedRequest } from "../api/records";
import { findTrace } from "../api/traces";
import { useTranslate } from "../texts/translate";
import panel from "../ui/panel.module.css";
import { useLoad } from "../ui/useLoad";
import { Waterfall } from "./Waterfall";

/** Spans come some milliseconds after the response. */
const AGAIN_MS = 700;

interface RecordTraceProps {
  client: PreviewClient;
  generationId: string;
  record: RecordedRequest;
}

/** Where the time of a recorded request went, if it was traced. */
export default function RecordTrace({ client, generationId, record }: RecordTraceProps): ReactNode {
  const t = useTranslate();
  const { value, problem, refresh } = useLoad(`${generationId} ${record.preview_id} ${record.number}`, (signal) =>
    findTrace(client, generationId, { id: record.request_id, previewId: record.preview_id }, signal),
  );
  const mayCome = value !== null && value.trace === null && value.tracing;
  useEffect(() => {
    if (!mayCome) return;
    const timer = setTimeout(refresh, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [mayCome, refresh]);
  if (problem || value === null) return null;
  if (value.trace) return <Waterfall trace={value.trace} timing={record.timing} />;
  return (
    <p className={panel.hint}>
      {value.tracing
        ? t("This request was not traced.")
        : t("Tracing is off. Turn on “Trace requests” in the settings to see statements and outgoing requests here.")}
    </p>
  );
}
