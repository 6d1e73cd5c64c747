import { InvalidAnswer, InvalidUpload, PreviewProblem } from "./errors.js";
import type { Http } from "./http.js";
import { followLog, type Level, type LogEvent, type LogOptions } from "./logStream.js";
import type {
  Endpoints,
  EnvironmentShape,
  FailureList,
  FailureShape,
  FileList,
  FilesChanged,
  GenerationShape,
  Launched,
  Line,
  LogPage,
  PreviewToken,
  Proxied,
  ReplacedShape,
  RequestList,
  SnapshotList,
  SnapshotShape,
  Status,
  V1LaunchBody,
} from "./schema.js";

/** Files by path; bytes for those that are not text. */
export type Files = Readonly<Record<string, string | Uint8Array>>;

export interface StartOptions {
  /** Variables of this launch. */
  env?: Record<string, string>;
  /** How to start it, if the service should not find out by itself. */
  start?: V1LaunchBody["start"];
  /** Seconds to wait until the preview is healthy. */
  wait?: number;
  signal?: AbortSignal;
}

export interface SendOptions {
  query?: Record<string, string | string[]>;
  headers?: Record<string, string>;
  /** A JSON value, text, or bytes. */
  body?: unknown;
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface LineOptions {
  after?: number;
  /** Maximum number of lines, up to 1000. */
  limit?: number;
  level?: Level;
  filter?: string;
  requestId?: string;
}

/** Added to a requested wait: for the request itself, and the end of an environment's download. */
const SLACK_MS = 30_000;
/** Most seconds that the service waits for one answer. */
const MAX_WAIT_S = 600;
/** A restart, a reload or a restored snapshot may run builds and migrations again. */
const SLOW_MS = 660_000;
const MAX_PAGE_LINES = 1_000;
/** Above each number: the last lines. */
const ABOVE_ALL = 10 ** 15;
const RELOAD_TRIES = 3;

/** One preview; made by `Client.launch` and `Client.preview`. */
export class Preview {
  readonly generationId: string;
  readonly #http: Http;
  #id: string | undefined;
  #token: string | undefined;

  constructor(http: Http, generationId: string) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(generationId)) {
      throw new RangeError(`${JSON.stringify(generationId.slice(0, 100))} is not a generation's id.`);
    }
    this.#http = http;
    this.generationId = generationId;
  }

  /** Id of the preview that this object launched; undefined means the generation's newest. */
  get id(): string | undefined {
    return this.#id;
  }

  /** Launch the generation's files. */
  async start({ env, start, wait, signal }: StartOptions = {}): Promise<Launched> {
    const body = { ...(env && { env }), ...(start && { start }) };
    return this.#launched("/preview/launch", wait, body, SLACK_MS, signal);
  }

  /** Start the application again: a running preview keeps its id, address and log, and serves meanwhile. */
  async restart(wait?: number): Promise<Launched> {
    return this.#launched("/preview/restart", wait, undefined, SLOW_MS);
  }

  /** State, health, usage and launch steps; after a failure also its reason. */
  status(): Promise<Status> {
    return this.#get("/preview/status");
  }

  /** Wait until the preview is healthy. Throws `PreviewProblem` if it failed, or is not healthy in time. */
  async waitReady(seconds = 60, signal?: AbortSignal): Promise<Status> {
    const late = AbortSignal.timeout(seconds * 1_000);
    const either = signal ? AbortSignal.any([signal, late]) : late;
    try {
      const first = await this.status();
      if (isReady(first)) return first;
      for await (const event of this.logs({ tail: 0, signal: either })) {
        if (event.type !== "status" && event.type !== "end") continue;
        const now = await this.status();
        if (isReady(now)) return now;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!late.aborted) throw error;
      throw new PreviewProblem("startup_timeout", `The preview was not healthy after ${seconds} s; see its log.`);
    }
    throw failed(await this.status());
  }

  /** Stop it; returns when its processes, port and files are gone. A second stop changes nothing. */
  async stop(): Promise<void> {
    try {
      await this.#http.text({ method: "DELETE", path: this.#path("/preview") });
    } catch (error) {
      if (!(error instanceof PreviewProblem && error.code === "no_active_preview")) throw error;
    }
  }

  /** Stop it, and remove the generation with its files and logs. */
  async remove(): Promise<void> {
    await this.stop();
    await this.#http.text({ method: "DELETE", path: this.#path("") });
  }

  /** Send one request to the application; it is never sent twice. */
  async request(method: string, path: string, options: SendOptions = {}): Promise<Answer> {
    const isBytes = options.body instanceof Uint8Array;
    const body = {
      method,
      path,
      query: options.query ?? {},
      headers: options.headers ?? {},
      body: isBytes ? base64Of(options.body as Uint8Array) : (options.body ?? null),
      ...(isBytes && { encoding: "base64" }),
    };
    for (const hasFresh of [false, true]) {
      this.#token = hasFresh || this.#token === undefined ? await this.#newToken() : this.#token;
      try {
        const found = await this.#http.json<Proxied>({
          method: "POST",
          path: this.#path("/preview/request"),
          headers: { "X-Preview-Token": this.#token },
          body,
          ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
          ...(options.signal && { signal: options.signal }),
        });
        return new Answer(this, found);
      } catch (error) {
        // A refused token: the application has not seen the request.
        if (hasFresh || !(error instanceof PreviewProblem && error.code === "invalid_preview_token")) throw error;
      }
    }
    throw new InvalidAnswer(
      "The service refuses the preview token that it has just issued; get the preview again, or report this as a bug.",
    );
  }

  /** The log's events, to the end of the preview. Leaving the loop closes the connection. */
  logs(options: LogOptions = {}): AsyncGenerator<LogEvent, void, undefined> {
    return followLog(this.#http, this.#path("/preview/logs/stream"), this.#id, options);
  }

  /** Lines of the log, oldest first: the first `limit` after `after`, else the last ones. */
  async lines({ after, limit = 500, level, filter, requestId }: LineOptions = {}): Promise<Line[]> {
    const page = await this.#get<LogPage>("/preview/logs", {
      after,
      before: after === undefined ? ABOVE_ALL : undefined,
      limit: Math.min(limit, MAX_PAGE_LINES),
      level,
      filter,
      request_id: requestId,
    });
    return page.lines;
  }

  /**
   * Send changed files; the running preview takes them over without losing its address. The files are written beside
   * the others, or with `replace` in place of all others.
   */
  async reload(files: Files, options: { remove?: string[]; replace?: boolean } = {}): Promise<FilesChanged> {
    for (let left = RELOAD_TRIES; ; left -= 1) {
      const { files: there, etag } = await this.#get<FileList>("/files");
      const gone = there.map((one) => one.path).filter((path) => !(path in files));
      try {
        return await this.#http.json({
          method: "PATCH",
          path: this.#path("/files"),
          headers: { "If-Match": etag },
          body: { files: jsonOf(files), remove: [...(options.replace ? gone : []), ...(options.remove ?? [])] },
          timeoutMs: SLOW_MS,
        });
      } catch (error) {
        // Another client has changed the files meanwhile.
        if (left <= 1 || !(error instanceof PreviewProblem && error.code === "precondition_failed")) throw error;
      }
    }
  }

  /** Keep the application's files and databases as they are now. */
  snapshot(name?: string): Promise<SnapshotShape> {
    const body = name === undefined ? {} : { name };
    return this.#http.json({ method: "POST", path: this.#path("/preview/snapshots"), body, timeoutMs: SLOW_MS });
  }

  /** Data snapshots, newest first. */
  async snapshots(): Promise<SnapshotShape[]> {
    return (await this.#get<SnapshotList>("/preview/snapshots")).snapshots;
  }

  /** Replace the application's data by that of a snapshot; the answer has a snapshot of the replaced data. */
  restore(snapshot: SnapshotShape | string): Promise<ReplacedShape> {
    const id = encodeURIComponent(typeof snapshot === "string" ? snapshot : snapshot.id);
    return this.#http.json({
      method: "POST",
      path: this.#path(`/preview/snapshots/${id}/restore`),
      timeoutMs: SLOW_MS,
    });
  }

  /** Requests that the preview received, newest first; `next` continues with `before`. */
  requests(options: { before?: number; limit?: number } = {}): Promise<RequestList> {
    return this.#get("/preview/requests", { preview_id: this.#id, ...options });
  }

  /** Failures, newest first. */
  async failures(): Promise<FailureShape[]> {
    return (await this.#get<FailureList>("/preview/failures", { preview_id: this.#id })).items;
  }

  /** A failure as text for people and language models. */
  failureText(failure: FailureShape | string): Promise<string> {
    const id = encodeURIComponent(typeof failure === "string" ? failure : failure.id);
    const query = { format: "text", preview_id: this.#id };
    const headers = { Accept: "text/plain" };
    return this.#http.text({ path: this.#path(`/preview/failures/${id}`), query, headers });
  }

  /** The application's endpoints, from its source and, while it runs, from itself. */
  endpoints(): Promise<Endpoints> {
    return this.#get("/preview/endpoints");
  }

  /** Variables of the generation's project; secrets without their values. */
  async env(): Promise<EnvironmentShape> {
    return this.#http.json({ path: await this.#environmentPath() });
  }

  /** Set or remove variables of the project; they apply at the next launch or restart. */
  async setEnv(values: Record<string, string>, unset: string[] = []): Promise<EnvironmentShape> {
    const path = await this.#environmentPath();
    return this.#http.json({ method: "PATCH", path, body: { set: values, unset } });
  }

  async #launched(
    rest: string,
    wait: number | undefined,
    body: unknown,
    slackMs: number,
    signal?: AbortSignal,
  ): Promise<Launched> {
    const seconds = Math.min(wait ?? 0, MAX_WAIT_S);
    const launched = await this.#http.json<Launched>({
      method: "POST",
      path: this.#path(rest),
      headers: seconds > 0 ? { Prefer: `wait=${Math.max(1, Math.round(seconds))}` } : {},
      body,
      timeoutMs: seconds * 1_000 + slackMs,
      signal,
    });
    this.#id = launched.id;
    this.#token = launched.session_token;
    return launched;
  }

  async #newToken(): Promise<string> {
    const path = this.#path("/preview/token");
    return (await this.#http.json<PreviewToken>({ method: "POST", path })).session_token;
  }

  async #environmentPath(): Promise<string> {
    const { project_id } = await this.#get<GenerationShape>("");
    return `/projects/${encodeURIComponent(project_id)}/environment`;
  }

  #get<T>(rest: string, query: Record<string, string | number | undefined> = {}): Promise<T> {
    return this.#http.json<T>({ path: this.#path(rest), query });
  }

  #path(rest: string): string {
    return `/generations/${this.generationId}${rest}`;
  }
}

/** The application's response to one request. */
export class Answer {
  readonly found: Proxied;
  readonly #preview: Preview;

  constructor(preview: Preview, found: Proxied) {
    this.#preview = preview;
    this.found = found;
  }

  get status(): number {
    return this.found.status_code;
  }

  /** `X-Request-Id` that the application received; its log lines carry it. */
  get requestId(): string {
    return this.found.request_id;
  }

  get bytes(): Uint8Array {
    if (this.found.encoding !== "base64") return new TextEncoder().encode(this.found.body);
    return Uint8Array.from(atob(this.found.body), (one) => one.charCodeAt(0));
  }

  get text(): string {
    return this.found.encoding === "base64" ? new TextDecoder().decode(this.bytes) : this.found.body;
  }

  json(): unknown {
    return JSON.parse(this.text);
  }

  /** Log lines of this request; if none carries its id, the lines that came during it. */
  async lines(): Promise<Line[]> {
    const own = await this.#preview.lines({ requestId: this.requestId, after: 0, limit: MAX_PAGE_LINES });
    const range = this.found.log;
    if (own.length > 0 || !range) return own;
    return this.#preview.lines({ after: range.first_seq - 1, limit: range.last_seq - range.first_seq + 1 });
  }
}

/** Files as the API takes them: text, or base64. */
export function jsonOf(files: Files): Record<string, string | { base64: string }> {
  const made: Record<string, string | { base64: string }> = {};
  for (const [path, one] of Object.entries(files)) {
    try {
      made[path] =
        typeof one === "string" ? one : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(one);
    } catch {
      made[path] = { base64: base64Of(one as Uint8Array) };
    }
  }
  return made;
}

/** Limits of a service without any settings. */
export const MAX_UPLOAD_FILES = 5_000;
export const MAX_UPLOAD_BYTES = 100 * 1024 * 1024;

/** Check the files before they are sent. Throws `InvalidUpload`. */
export function checkUpload(files: Files): void {
  const all = Object.values(files);
  if (all.length === 0) throw new InvalidUpload("There are no files to upload.");
  if (all.length > MAX_UPLOAD_FILES)
    throw new InvalidUpload(`There are more than ${MAX_UPLOAD_FILES} files; leave out data and build output.`);
  if (all.reduce((sum, one) => sum + one.length, 0) > MAX_UPLOAD_BYTES) {
    throw new InvalidUpload(`The files exceed ${MAX_UPLOAD_BYTES} bytes in total; leave out data and build output.`);
  }
}

function base64Of(bytes: Uint8Array): string {
  // In pieces: arguments of a call are limited.
  const pieces: string[] = [];
  for (let at = 0; at < bytes.length; at += 0x8000) {
    pieces.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  }
  return btoa(pieces.join(""));
}

function isReady(found: Status): boolean {
  if (found.status === "failed" || found.status === "stopped") throw failed(found);
  return found.status === "running" && found.health !== "unhealthy";
}

function failed(found: Status): PreviewProblem {
  const details = { preview_id: found.id, exit_code: found.exit_code };
  return new PreviewProblem("launch_failed", found.reason ?? "The preview has ended.", details);
}
