import { useMemo } from "react";

import type { PreviewClient } from "../api/client";
import type { RecordedRequest } from "../api/records";
import { of } from "../api/transport";
import type { LogLine, LogPage } from "../api/types";
import type { LogSession } from "../logs/session";
import { useLoad } from "../ui/useLoad";

const MOST_LINES = 200;

/** The log lines of a recorded request: those with its id, else those that were printed while it ran. */
export function useRecordLines(
  client: PreviewClient,
  session: LogSession,
  record: RecordedRequest,
): { lines: readonly LogLine[]; isExact: boolean } {
  const hasLines = record.last_line >= record.first_line && record.last_line > 0;
  const key = hasLines ? `${session.generationId} ${record.preview_id} ${record.number}` : null;
  const { value } = useLoad(key, async (signal) => {
    const query = new URLSearchParams({
      preview_id: record.preview_id,
      after: String(record.first_line - 1),
      limit: String(Math.min(MOST_LINES * 5, record.last_line - record.first_line + 1)),
      ansi: "keep",
    });
    return client.json<LogPage>(of(session.generationId, `/preview/logs?${query.toString()}`), { signal });
  });
  return useMemo(() => {
    const all = (value?.lines ?? []).filter((one) => one.seq >= record.first_line && one.seq <= record.last_line);
    const own = all.filter((one) => one.request_id === record.request_id);
    if (own.length > 0) return { lines: own.slice(0, MOST_LINES), isExact: true };
    return { lines: all.filter((one) => one.request_id === undefined).slice(0, MOST_LINES), isExact: false };
  }, [value, record]);
}
