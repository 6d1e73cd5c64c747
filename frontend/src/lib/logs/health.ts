import type { LogLine, ToldStep } from "../api/types";
import { plain } from "./text";

/** What the service asks a preview again and again, and how it answered first. */
export interface HealthCheck {
  path: string;
  status: string;
}

/** A request as access logs write it: `"GET /health HTTP/1.1" 200`, `GET /health 200 3 ms`, `GET "/health"`. */
const ACCESS = /(?:^|[\s"'\]])(GET|HEAD)\s+"?(\/[^\s"'?]*)(?:\?[^\s"']*)?(?:["'\s]|$)/;
const STATUS = /(?:^|[\s|=])([1-5]\d\d)\b/;

/** End of the ids of the service's own requests, on the lines that are printed for them. */
const CHECK_SUFFIX = ".check";

/** Whether a line was printed for a request of the service itself. An error is news. */
export function isOfCheck(line: LogLine): boolean {
  return line.level !== "ERROR" && line.request_id?.endsWith(CHECK_SUFFIX) === true;
}

/** What the launch's last step has asked, once it was answered. */
export function healthCheckOf(steps: readonly ToldStep[] | undefined): HealthCheck | null {
  const answer = steps?.find((step) => step.answer)?.answer;
  return answer ? { path: answer.path, status: String(answer.status) } : null;
}

/**
 * Whether a line of the program is no more than the trace of a health check.
 *
 * An answer that is worse than the first one was is news, and so is an error.
 */
export function isHealthCheck(line: LogLine, check: HealthCheck): boolean {
  if (line.source !== "subprocess" || line.level === "ERROR" || !line.message.includes(check.path)) return false;
  const text = plain(line.message);
  const asked = ACCESS.exec(text);
  if (!asked || trimmed(asked[2] ?? "") !== trimmed(check.path)) return false;
  const status = STATUS.exec(text.slice(asked.index + asked[0].length - 1))?.[1];
  return status === undefined || status < "400" || status === check.status;
}

/** Whether a request, named as its mark is, asks for what the health checks ask for. */
export function asksForHealth(label: string, check: HealthCheck): boolean {
  const [method, target] = label.split(" ");
  return (method === "GET" || method === "HEAD") && trimmed(target?.split("?")[0] ?? "") === trimmed(check.path);
}

function trimmed(path: string): string {
  return path.length > 1 ? path.replace(/\/$/, "") : path;
}
