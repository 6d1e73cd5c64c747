import type { LogLine } from "../api/types";
import { asksForHealth, type HealthCheck, isHealthCheck } from "./health";
import { isNote, type LogStore } from "./store";

/**
 * Lines of a request. Where lines carry its id (`isExact`), they are those; else those that came while it ran and
 * carry no other's: what else the program says meanwhile is marked too, and what it says of the request later is not.
 */
export interface RequestMark {
  id: number;
  label: string;
  fromSeq: number;
  /** The last of them; null while the request runs. */
  toSeq: number | null;
  /** Null while the request runs, and where the service does not tell. */
  requestId: string | null;
  isExact: boolean;
}

/** What the service tells of a request's lines when it is over. */
export interface RequestLines {
  requestId?: string | undefined;
  range?: { first_seq: number; last_seq: number } | null | undefined;
}

/** Whether a line is a request's, as far as it is known. */
export function isAbout(mark: RequestMark, line: LogLine, check: HealthCheck | null): boolean {
  if (line.seq < mark.fromSeq) return false;
  if (mark.requestId !== null && line.request_id !== undefined) return line.request_id === mark.requestId;
  if (mark.isExact || (mark.toSeq !== null && line.seq > mark.toSeq)) return false;
  // A health check that comes by during a request is not of its making.
  return check === null || asksForHealth(mark.label, check) || !isHealthCheck(line, check);
}

/** The lines here that are a request's, oldest first. */
export function linesAbout(mark: RequestMark, store: LogStore, check: HealthCheck | null): LogLine[] {
  const found: LogLine[] = [];
  for (let at = store.end - 1; at >= store.first; at -= 1) {
    const entry = store.at(at);
    if (!entry || entry.seq < mark.fromSeq) break;
    if (!isNote(entry) && isAbout(mark, entry, check)) found.push(entry);
  }
  return found.reverse();
}

/** The mark of a request that is over. */
export function overMark(
  mark: RequestMark,
  told: RequestLines,
  store: LogStore,
  check: HealthCheck | null,
): RequestMark {
  const { range } = told;
  const requestId = told.requestId ?? null;
  const over: RequestMark = {
    ...mark,
    requestId,
    fromSeq: range?.first_seq ?? mark.fromSeq,
    toSeq: Math.max(store.lastSeq, range?.last_seq ?? 0),
  };
  return { ...over, isExact: linesAbout(over, store, check).some((one) => one.request_id === requestId) };
}
