import type { ExportFormat, LogChoice } from "../api/types";
import { hasLevel, LEVELS, type LogFilter, SOURCES } from "./view";

/** How a file of each form is named and what it is. */
export const FILES: Record<ExportFormat, { suffix: string; type: string }> = {
  text: { suffix: "log", type: "text/plain" },
  jsonl: { suffix: "jsonl", type: "application/x-ndjson" },
  csv: { suffix: "csv", type: "text/csv" },
};

/**
 * A filter in the service's words: a level and what is worse, one source or both, the stream. Null where it has none,
 * or lets nothing through.
 */
export function choiceOf(filter: LogFilter): LogChoice | null {
  const lowest = LEVELS.findIndex((level) => hasLevel(filter, level));
  const level = LEVELS[lowest];
  if (level === undefined || !LEVELS.slice(lowest).every((one) => hasLevel(filter, one))) return null;
  const sources = SOURCES.filter((one) => filter.sources.includes(one));
  const [source] = sources;
  if (source === undefined) return null;
  return {
    ...(lowest > 0 && { level }),
    ...(sources.length < SOURCES.length && { source }),
    ...(filter.onlyStderr && { filter: "stream:stderr" }),
  };
}

/** What a download asks for: the filter's choice, as far as the service has words for it, and terms besides. */
export function queryOf(filter: LogFilter, terms: string): LogChoice {
  const choice = choiceOf(filter) ?? {};
  if (!terms) return choice;
  return { ...choice, filter: choice.filter === undefined ? terms : `(${terms}) ${choice.filter}` };
}
