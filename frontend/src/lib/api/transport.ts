import { asProblem, originRefused, problemOf } from "./problem";

export interface ClientOptions {
  /** Where the service is: "" for this page's own origin. */
  baseUrl?: string;
  /** The bearer token of now; undefined relies on the session cookie. */
  token?: () => string | undefined | Promise<string | undefined>;
  fetch?: typeof fetch;
}

export interface Call {
  method?: string;
  json?: unknown;
  form?: FormData;
  /** A body as it is; its type is a header. */
  text?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Sends requests to the service and reads its answers. All methods reject with `Problem`. */
export class Transport {
  readonly #base: string;
  readonly #token: ClientOptions["token"];
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions = {}) {
    this.#base = (options.baseUrl ?? "").replace(/\/$/, "");
    this.#token = options.token;
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
  }

  /** The address of a WebSocket of the service. Browsers send its session cookie there, and no header fields. */
  socketAddress(path: string): string {
    return new URL(`${this.#base}${path}`, location.href).href.replace(/^http/, "ws");
  }

  async json<T>(path: string, call: Call = {}): Promise<T> {
    const response = await this.send(path, call);
    try {
      return (await response.json()) as T;
    } catch (error) {
      throw asProblem(error);
    }
  }

  async send(path: string, call: Call = {}): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json", ...call.headers };
    const token = await this.#token?.();
    if (token !== undefined && headers.Authorization === undefined) headers.Authorization = `Bearer ${token}`;
    if (call.json !== undefined) headers["Content-Type"] = "application/json";
    const body = call.json === undefined ? (call.text ?? call.form) : JSON.stringify(call.json);
    let response: Response;
    try {
      response = await this.#fetch(`${this.#base}${path}`, {
        method: call.method ?? "GET",
        headers,
        credentials: "same-origin",
        cache: "no-store",
        ...(body !== undefined && { body }),
        ...(call.signal && { signal: call.signal }),
      });
    } catch (error) {
      if (call.signal?.aborted) throw error;
      throw (await this.#isOriginRefused()) ? originRefused(location.origin) : asProblem(error);
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  /**
   * Whether the service answers, but this page's origin may not read it. A browser does not say why a call failed; a
   * call whose answer nobody reads tells it from a service that is away.
   */
  async #isOriginRefused(): Promise<boolean> {
    const origin = typeof location === "undefined" ? "" : location.origin;
    if (!origin || !/^https?:/.test(this.#base) || new URL(this.#base).origin === origin) return false;
    try {
      const init = { mode: "no-cors", credentials: "omit", cache: "no-store" } as const;
      return (await this.#fetch(`${this.#base}/healthz`, init)).type === "opaque";
    } catch {
      return false;
    }
  }
}

/** The path of something of a generation. */
export function of(generationId: string, path: string): string {
  return `/api/v1/generations/${encodeURIComponent(generationId)}${path}`;
}
