import { toBase64 } from "../request/multipart";
import { readEventStream } from "../stream/sse";
import { Problem } from "./problem";
import type { ProxyResponse } from "./types";

/** A response that is still coming. */
export interface GrowingAnswer {
  status_code: number;
  headers: Record<string, string | string[]>;
  request_id: string;
  sizeBytes: number;
  /** The end of what has come, as text. */
  tail: string;
  /** All that has come, as a response; `cut` says why it is not the whole. */
  soFar: (cut: string) => ProxyResponse;
}

/** More is not drawn while it comes, in UTF-16 units. */
const TAIL_CHARS = 20_000;

interface Head {
  status_code: number;
  headers: Record<string, string | string[]>;
  request_id: string;
}

interface End {
  reason: string;
  detail: string | null;
  elapsed_ms: number;
  log: ProxyResponse["log"];
}

/**
 * Read a streamed call to its end. Rejects with `Problem` if the connection breaks before there is a response, and
 * with the signal's reason when that is given.
 */
export async function readStreamedAnswer(
  body: ReadableStream<Uint8Array>,
  onGrow: (answer: GrowingAnswer) => void,
  signal?: AbortSignal,
): Promise<ProxyResponse> {
  const began = performance.now();
  const parts = new Parts();
  const told: { head?: Head; end?: End } = {};
  const soFar = (cut: string | null): ProxyResponse => {
    const { head, end } = told;
    if (!head)
      throw new Problem("The connection broke before there was a response. See the log, then send the request again.", {
        code: "unreachable",
      });
    const elapsed = end?.elapsed_ms ?? Math.round(performance.now() - began);
    return { ...head, ...parts.content(typeOf(head)), elapsed_ms: elapsed, log: end?.log ?? null, cut };
  };
  try {
    await readEventStream(
      body,
      {
        onEvent: ({ event, data }) => {
          if (event === "head") told.head = JSON.parse(data) as Head;
          else if (event === "piece") parts.add(JSON.parse(data) as Piece);
          else if (event === "end") told.end = JSON.parse(data) as End;
        },
        onFlush: () => {
          const { head } = told;
          if (head && !told.end) onGrow({ ...head, sizeBytes: parts.sizeBytes, tail: parts.tail, soFar });
        },
      },
      signal,
    );
  } catch (error) {
    if (!told.head || signal?.aborted) throw error;
  }
  const { end } = told;
  if (!end) return soFar("The connection to the service broke. This is the beginning of the response.");
  return soFar(end.reason === "complete" ? null : (end.detail ?? "This is the beginning of the response."));
}

interface Piece {
  text?: string;
  base64?: string;
}

/** Content that has come: text, and from some point on bytes. */
class Parts {
  sizeBytes = 0;
  tail = "";
  #text = "";
  readonly #bytes: Uint8Array[] = [];
  readonly #loose = new TextDecoder();

  add({ text, base64 }: Piece): void {
    const bytes = base64 === undefined ? new TextEncoder().encode(text ?? "") : bytesOf(base64);
    this.sizeBytes += bytes.length;
    if (base64 === undefined) this.#text += text ?? "";
    else this.#bytes.push(bytes);
    this.tail = (this.tail + (text ?? this.#loose.decode(bytes, { stream: true }))).slice(-TAIL_CHARS);
  }

  content(type: string): Pick<ProxyResponse, "body" | "encoding"> {
    if (this.#bytes.length === 0 && isTextual(type)) return { body: this.#text };
    const whole = new Uint8Array(this.sizeBytes);
    let at = 0;
    for (const piece of [new TextEncoder().encode(this.#text), ...this.#bytes]) {
      whole.set(piece, at);
      at += piece.length;
    }
    return textIn(whole, type) ?? (whole.length ? { body: toBase64(whole), encoding: "base64" } : { body: "" });
  }
}

function typeOf(head: Head): string {
  const type = head.headers["content-type"] ?? "";
  return (Array.isArray(type) ? (type[0] ?? "") : type).toLowerCase();
}

function isTextual(type: string): boolean {
  const kind = type.split(";")[0]?.trim() ?? "";
  return kind === "" || /^text\/|[/+](json|xml|x-ndjson|javascript|yaml|x-www-form-urlencoded)$/.test(kind);
}

/** Text in another charset than UTF-8. */
function textIn(bytes: Uint8Array, type: string): { body: string } | null {
  const charset = /;\s*charset="?([\w-]{1,40})/.exec(type)?.[1];
  if (charset === undefined || /^utf-?8$/.test(charset) || !isTextual(type)) return null;
  try {
    return { body: new TextDecoder(charset, { fatal: true }).decode(bytes) };
  } catch {
    return null;
  }
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (unit) => unit.charCodeAt(0));
}
