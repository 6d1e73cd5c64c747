import { ClientError, InvalidAnswer, PreviewProblem, problemOf, Unreachable } from "./errors.js";

export interface ClientOptions {
  /** API token, or a function that gives a valid one, called for each request; without it, the page's cookie is used. */
  token?: string | (() => string | Promise<string>) | undefined;
  fetch?: typeof fetch | undefined;
  /** Milliseconds before each further attempt of a request that only reads. */
  retryPausesMs?: readonly number[] | undefined;
}

export interface Call {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below `/api/v1`, with a leading slash. */
  path: string;
  query?: Record<string, string | number | boolean | null | undefined>;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
  /** Milliseconds until the answer is complete. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

/** Most bytes of an answer. The largest ordinary one is a page of 1000 log lines. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_PROBLEM_BYTES = 1024 * 1024;
/** For an answer; a stop takes some. */
const TIMEOUT_MS = 60_000;
const RETRY_PAUSES_MS = [200, 500, 1_000, 2_000];
/** Statuses of a service that starts or stops, or of a reverse proxy before it. */
const PASSING = new Set([502, 503, 504]);
const PASSING_CODES = new Set(["", "service_stopping", "database_unavailable"]);

/** Asks the service to pass a request on, instead of a redirect. */
const HOP = "preview-hop=1";

/**
 * The address to ask instead; null if the answer is no redirect of the service to the preview's node.
 *
 * The token goes only to an address that the service itself names, with its field `Preview-Owner`: the same path at
 * another host, never from `https` to `http`, and once. It may lack the prefix of this address (`base`). Otherwise the
 * same address is asked to pass the request on. Browsers do not show redirects, and the service sends them none.
 */
function movedTo(base: string, address: string, response: Response): string | null {
  if (response.status !== 307 || !response.headers.has("preview-owner") || !URL.canParse(address)) return null;
  const from = new URL(address);
  const location = response.headers.get("location");
  if (location !== null && URL.canParse(location) && isSame(base, from, new URL(location))) return location;
  return `${address}${from.search === "" ? "?" : "&"}${HOP}`;
}

/** Whether the token may go to an address, after a request to another. */
function isSame(base: string, from: URL, to: URL): boolean {
  const isAsSafe = to.protocol === "https:" || (to.protocol === "http:" && from.protocol === "http:");
  const prefix = new URL(base).pathname.replace(/\/$/, "");
  // A proxy may remove the prefix before it passes a request on.
  const isPath = to.pathname === from.pathname || prefix + to.pathname === from.pathname;
  const isQuery = to.search.replace(/[?&]preview-hop=1$/, "") === from.search;
  return isAsSafe && isPath && isQuery && to.username + to.password === "";
}

/** Sends requests to one service. */
export class Http {
  readonly #base: string;
  readonly #token: ClientOptions["token"];
  readonly #fetch: typeof fetch;
  readonly #pausesMs: readonly number[];

  constructor(url: string, options: ClientOptions) {
    if (url !== "" && !/^https?:\/\/[^/]/.test(url)) {
      throw new ClientError(`${JSON.stringify(url)} is not a service address; write http://HOST:PORT.`);
    }
    this.#base = url.replace(/\/$/, "");
    this.#token = options.token;
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
    this.#pausesMs = options.retryPausesMs ?? RETRY_PAUSES_MS;
  }

  /** The answer's JSON. Requests that only read are sent again after a failure that passes. */
  async json<T>(call: Call): Promise<T> {
    const text = await this.text(call);
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new InvalidAnswer("The response is not JSON, so it is not from a preview service; check the address.");
    }
  }

  /** The answer's text. */
  async text(call: Call): Promise<string> {
    const pauses = (call.method ?? "GET") === "GET" ? this.#pausesMs : [];
    for (const wait of pauses) {
      try {
        return await this.#textOnce(call);
      } catch (error) {
        if (!passes(error) || call.signal?.aborted) throw error;
        await pause(wait, call.signal);
      }
    }
    return this.#textOnce(call);
  }

  /** The open answer of a successful request; the caller reads or cancels its body. */
  async open(call: Call, signal?: AbortSignal): Promise<Response> {
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    const headers: Record<string, string> = { Accept: "application/json", ...call.headers };
    if (token !== undefined) headers.Authorization = `Bearer ${token}`;
    if (call.body !== undefined) headers["Content-Type"] = "application/json";
    const init: RequestInit = {
      method: call.method ?? "GET",
      headers,
      credentials: "same-origin",
      cache: "no-store",
      // The token must not go elsewhere; see `movedTo`.
      redirect: "manual",
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
      ...(signal && { signal }),
    };
    let response: Response;
    try {
      const address = this.#address(call);
      response = await this.#fetch(address, init);
      const instead = movedTo(this.#base, address, response);
      if (instead !== null) {
        await response.body?.cancel();
        response = await this.#fetch(instead, init);
      }
    } catch (error) {
      throw call.signal?.aborted ? error : this.unreachable(error);
    }
    if (response.ok) return response;
    if (response.type === "opaqueredirect" || (response.status >= 300 && response.status < 400)) {
      await response.body?.cancel();
      throw new InvalidAnswer("The response is a redirect, which is not followed: use the service's own address.");
    }
    throw problemOf(response.status, await read(response, MAX_PROBLEM_BYTES));
  }

  /** The error for one of the connection. */
  unreachable(error: unknown): ClientError {
    if (error instanceof ClientError) return error;
    const { message } = (error instanceof Error && error.cause instanceof Error ? error.cause : error) as Error;
    return new Unreachable(
      `The service at ${this.#base || "this origin"} cannot be reached (${message}). Check the address, and that the service runs.`,
      {
        cause: error,
      },
    );
  }

  async #textOnce(call: Call): Promise<string> {
    const late = new AbortController();
    const stop = (): void => late.abort(call.signal?.reason);
    const timeoutMs = call.timeoutMs ?? TIMEOUT_MS;
    const timer = setTimeout(
      () =>
        late.abort(
          new Unreachable(
            `The service did not respond within ${timeoutMs / 1000} s. Try again; if this repeats, see the service's log.`,
          ),
        ),
      timeoutMs,
    );
    call.signal?.throwIfAborted();
    call.signal?.addEventListener("abort", stop);
    try {
      return await read(await this.open(call, late.signal), MAX_ANSWER_BYTES);
    } catch (error) {
      call.signal?.throwIfAborted();
      throw late.signal.aborted ? late.signal.reason : this.unreachable(error);
    } finally {
      clearTimeout(timer);
      call.signal?.removeEventListener("abort", stop);
    }
  }

  #address(call: Call): string {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined && value !== null) query.set(name, String(value));
    }
    const asked = query.size > 0 ? `?${query.toString()}` : "";
    return `${this.#base}/api/v1${call.path}${asked}`;
  }
}

/** Wait; rejects with the signal's reason. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the caller's own reason
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Whether an error may go away by itself. */
export function passes(error: unknown): boolean {
  if (error instanceof PreviewProblem) return PASSING.has(error.status) && PASSING_CODES.has(error.code);
  return error instanceof Unreachable;
}

async function read(response: Response, maxBytes: number): Promise<string> {
  if (!response.body) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.length;
    if (size > maxBytes) {
      await reader.cancel();
      throw new InvalidAnswer(`The response is larger than ${maxBytes} bytes, and was not read.`);
    }
    text += decoder.decode(value, { stream: true });
  }
}
