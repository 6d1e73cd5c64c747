import { fromAddress, type Term, toAddress } from "../filter/terms";
import { isColumn } from "./json";
import { EVERYTHING, hasLevel, LEVELS, type LogFilter, SOURCES } from "./view";

/** The part of a log that a person looks at: filter, terms of the filter language, and the line that was chosen. */
export interface LogLook {
  filter: LogFilter;
  terms: readonly Term[];
  /** Number of a line; null if none was chosen. */
  line: number | null;
  /** Values of JSON lines that are columns, such as `user.id`. */
  columns?: readonly string[];
}

/** More columns leave no space for the message. */
export const MOST_COLUMNS = 6;

export const WHOLE_LOG: LogLook = { filter: EVERYTHING, terms: [], line: null };

/** The look as values of a page's address; null or nothing leaves a value out. */
export function lookToAddress({
  filter,
  terms,
  line,
  columns = [],
}: LogLook): Record<string, string | string[] | null> {
  const levels = LEVELS.filter((one) => hasLevel(filter, one));
  return {
    level: levels.length < LEVELS.length ? levels.join(",") || "none" : null,
    from: filter.sources.length < SOURCES.length ? filter.sources.join(",") || "none" : null,
    stream: filter.onlyStderr ? "stderr" : null,
    filter: toAddress(terms),
    line: line === null ? null : String(line),
    column: columns.length > 0 ? [...columns] : null,
  };
}

/** The look that an address says; what it does not know is left out. */
export function lookOfAddress(query: URLSearchParams): LogLook {
  const line = Number(query.get("line"));
  const columns = [...new Set(query.getAll("column"))].filter(isColumn).slice(0, MOST_COLUMNS);
  return {
    filter: {
      levels: chosen(query.get("level"), LEVELS),
      sources: chosen(query.get("from"), SOURCES),
      ...(query.get("stream") === "stderr" && { onlyStderr: true }),
    },
    terms: fromAddress(query.getAll("filter")),
    line: Number.isSafeInteger(line) && line > 0 ? line : null,
    ...(columns.length > 0 && { columns }),
  };
}

function chosen<T extends string>(words: string | null, all: readonly T[]): readonly T[] {
  if (words === null) return all;
  const named = words.split(",");
  return all.filter((one) => named.includes(one));
}
