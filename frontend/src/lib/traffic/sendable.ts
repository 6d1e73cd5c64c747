import type { ParsedRequest, WholeRecord } from "../api/records";
import type { Draft } from "../request/draft";

interface Sendable {
  method: string;
  /** Path and query. */
  target: string;
  headers: readonly (readonly [string, string])[];
  body: string;
}

/** A request that was read from a command, as the editor has it. */
export function draftOfParsed({ method, path, headers, body }: ParsedRequest): Draft {
  return draftOfSendable({ method, target: path, headers: Object.entries(headers), body: body ?? "" });
}

/** A request as the editor has it. Braces of the path stay as they are, so they are written as escapes. */
export function draftOfSendable({ method, target, headers, body }: Sendable): Draft {
  const at = target.indexOf("?");
  const path = at === -1 ? target : target.slice(0, at);
  // It was sent like this.
  const hasBraces = [target, body, ...headers.map(([, value]) => value)].some((one) => one.includes("{{"));
  const query = new URLSearchParams(at === -1 ? "" : target.slice(at + 1));
  return {
    method,
    path: path.replaceAll("{", "%7B").replaceAll("}", "%7D"),
    pathFields: [],
    query: [...query].map(([name, value]) => ({ name, value, type: null })),
    headers: headers.map(([name, value]) => ({ name, value, type: null })),
    body,
    ...(hasBraces && { isLiteral: true }),
  };
}

/** A recorded request as the editor has it; only its address where nothing else was recorded. */
export function draftOfRecord({ method, target, request }: WholeRecord): Draft {
  // The host is the preview's, and the length is that of what is sent.
  const left = new Set(["host", "content-length", "connection", "transfer-encoding", "accept-encoding"]);
  const headers = (request?.headers ?? []).filter(([name]) => !left.has(name.toLowerCase()));
  const body = request && request.body_encoding !== "base64" ? request.body : "";
  return draftOfSendable({ method, target, headers, body });
}
