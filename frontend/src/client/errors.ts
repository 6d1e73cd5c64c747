import type { Problem } from "./schema.js";

/** A code of the service that programs decide by; empty if the answer is not from the service. */
export type ProblemCode = Problem["code"];

/** The root of the client's errors; the message is one sentence for people. */
export class ClientError extends Error {
  override name = "ClientError";
}

/** The service answered with an error (RFC 9457). */
export class PreviewProblem extends ClientError {
  override name = "PreviewProblem";
  /** Stable; a later version may have further ones. */
  readonly code: ProblemCode | "" | (string & {});
  /** One sentence: what is wrong, and what to do. */
  readonly detail: string;
  /** Further facts, such as `last_lines` of a preview that failed. */
  readonly details: Record<string, unknown>;
  /** HTTP status; 0 if the client itself found it. */
  readonly status: number;

  constructor(code: string, detail: string, details: Record<string, unknown> = {}, status = 0) {
    super(detail);
    this.code = code;
    this.detail = detail;
    this.details = details;
    this.status = status;
  }
}

/** There was no answer: the service cannot be reached, was too slow, or closed the connection. */
export class Unreachable extends ClientError {
  override name = "Unreachable";
}

/** The answer is not one of the service: too large, not JSON, a redirect, or of another shape. */
export class InvalidAnswer extends ClientError {
  override name = "InvalidAnswer";
}

/** The folder or the files cannot be uploaded. */
export class InvalidUpload extends ClientError {
  override name = "InvalidUpload";
}

/** The error of a failed answer; one that is not from the service still gives a sentence. */
export function problemOf(status: number, text: string): PreviewProblem {
  let body: Record<string, unknown> = {};
  try {
    const found: unknown = JSON.parse(text);
    if (typeof found === "object" && found !== null) body = found as Record<string, unknown>;
  } catch {
    // From something between the client and the service.
  }
  const sentence = [body.detail, body.title, body.message].find((one) => typeof one === "string" && one !== "");
  const details = body.details;
  return new PreviewProblem(
    typeof body.code === "string" ? body.code : "",
    typeof sentence === "string" ? sentence : `The service responded with status ${status}; see its log.`,
    typeof details === "object" && details !== null ? (details as Record<string, unknown>) : {},
    status,
  );
}
