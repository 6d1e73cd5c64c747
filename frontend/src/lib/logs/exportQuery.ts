import type { ExportFormat, LogChoice } from "../api/types";
import { hasLevel, LEVELS, type LogFilter, SOURCES } from "./view";

/** How a file of each form is named and what it is. */
export const FILES: Record<ExportFormat, { suffix: string; type: string }> = {
  text: { suffix: "log", type: "text/plain" },
  jsonl: { suffix: "jsonl", type: "application/x-ndjson" },
  csv: { suffix: "csv", type: "text/csv" },
};

/**
 * A filter in the service's words: a level and what is worse, one source or both. Null where it cannot be said in them,
 * or lets nothing through.
 */
export function choiceOf(filter: LogFilter): LogChoice | null {
  if (filter.onlyStderr) return null;
  const lowest = LEVELS.findIndex((level) => hasLevel(filter, level));
  const level = LEVELS[lowest];
  if (level === undefined || !LEVELS.slice(lowest).every((one) => hasLevel(filter, one))) return null;
  const sources = SOURCES.filter((one) => filter.sources.includes(one));
  const [source] = sources;
  if (source === undefined) return null;
  return { ...(lowest > 0 && { level }), ...(sources.length < SOURCES.length && { source }) };
}
