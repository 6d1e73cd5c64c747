import { type GrowingAnswer, readStreamedAnswer } from "./calls";
import { DataClient } from "./data";
import type { FilterTerm } from "./filter";
import { Problem } from "./problem";
import { Stops } from "./stops";
import { type Call, type ClientOptions, of, Transport } from "./transport";
import type {
  Endpoint,
  EndpointListing,
  ExportFormat,
  FilesChanged,
  Generation,
  Launched,
  LogChoice,
  LogPage,
  OpenLink,
  PlanEndpoint,
  PreviewAccess,
  PreviewConfig,
  PreviewInstance,
  PreviewStatus,
  ProxyRequest,
  ProxyResponse,
  Session,
  ShareLink,
  ToldListing,
} from "./types";

/** What changed, for components that show the same generation elsewhere on the page. */
export type Change = "launched" | "changed" | "back";

/** Talks to the service in the words of contract v1. All methods reject with `Problem`. */
export class PreviewClient {
  readonly data: DataClient;
  /** What this page is stopping. */
  readonly stops = new Stops();
  readonly #transport: Transport;
  readonly #listeners = new Map<string, Set<(change: Change) => void>>();
  readonly #previewTokens = new Map<string, string>();
  /** The generations that have or had a preview; null while that is not known of all. */
  #launchedIds: Set<string> | null = null;
  #asking: Promise<unknown> | undefined;

  constructor(options: ClientOptions = {}) {
    this.#transport = new Transport(options);
    this.data = new DataClient(this.#transport, (generationId) => this.#tell(generationId, "changed"));
  }

  /** Call any route of the service; `path` begins with `/api/v1`. */
  json<T>(path: string, call: Call = {}): Promise<T> {
    return this.#transport.json<T>(path, call);
  }

  /** The same, for answers that are no JSON. */
  send(path: string, call: Call = {}): Promise<Response> {
    return this.#transport.send(path, call);
  }

  /** Where the service carries WebSockets of a generation's preview. */
  socketAddress(generationId: string): string {
    return this.#transport.socketAddress(of(generationId, "/preview/socket"));
  }

  // Previews

  async launch(generationId: string, signal?: AbortSignal): Promise<Launched> {
    const call: Call = { method: "POST", json: {}, ...(signal && { signal }) };
    return this.#launched(await this.#transport.json<Launched>(of(generationId, "/preview/launch"), call));
  }

  async restart(generationId: string): Promise<Launched> {
    return this.#launched(
      await this.#transport.json<Launched>(of(generationId, "/preview/restart"), { method: "POST" }),
    );
  }

  async stop(generationId: string): Promise<void> {
    try {
      await this.stops.run(generationId, () =>
        this.#transport.send(of(generationId, "/preview"), { method: "DELETE" }),
      );
    } finally {
      this.#tell(generationId, "changed");
    }
  }

  async extend(generationId: string, seconds: number): Promise<PreviewInstance> {
    return this.#transport.json(of(generationId, "/preview/extend"), { method: "POST", json: { seconds } });
  }

  status(generationId: string, signal?: AbortSignal): Promise<PreviewStatus> {
    const path = of(generationId, "/preview/status");
    return this.stops.note(generationId, this.#transport.json<PreviewStatus>(path, signal ? { signal } : {}));
  }

  /** Rejects with the reason if the generation cannot be launched as it is. Nothing is run for it. */
  async checkPlan(generationId: string): Promise<void> {
    await this.#transport.send(of(generationId, "/plan"), {});
  }

  config(generationId: string): Promise<PreviewConfig> {
    return this.#transport.json(of(generationId, "/preview/config"));
  }

  preview(previewId: string): Promise<PreviewInstance> {
    return this.#transport.json(`/api/v1/previews/${encodeURIComponent(previewId)}`);
  }

  /** The newest preview of a generation; null if it has had none. */
  async newestPreview(generationId: string): Promise<PreviewInstance | null> {
    const query = `generation_id=${encodeURIComponent(generationId)}&limit=1`;
    const { previews } = await this.#transport.json<{ previews: PreviewInstance[] }>(`/api/v1/previews?${query}`);
    return previews.find((one) => one.generation_id === generationId) ?? null;
  }

  async previews(limit = 100): Promise<PreviewInstance[]> {
    const asking = this.#transport.json<{ previews: PreviewInstance[] }>(`/api/v1/previews?limit=${limit}`);
    this.#asking = asking.catch(() => undefined);
    const { previews } = await asking;
    // A full page may have left out older ones.
    this.#launchedIds = previews.length < limit ? new Set(previews.map((one) => one.generation_id)) : null;
    return previews;
  }

  // In the browser

  openLink(generationId: string): Promise<OpenLink> {
    return this.#transport.json(of(generationId, "/preview/open"), { method: "POST", json: {} });
  }

  access(generationId: string, signal?: AbortSignal): Promise<PreviewAccess> {
    return this.#transport.json(of(generationId, "/preview/access"), signal ? { signal } : {});
  }

  setPublic(generationId: string, isPublic: boolean): Promise<PreviewAccess> {
    return this.#transport.json(of(generationId, "/preview/access"), { method: "PUT", json: { public: isPublic } });
  }

  share(generationId: string, expiresInS: number, role: ShareLink["role"] = "open"): Promise<ShareLink> {
    return this.#transport.json(of(generationId, "/preview/share"), {
      method: "POST",
      json: { expires_in: expiresInS, role },
    });
  }

  async revokeShare(generationId: string, shareId: string): Promise<void> {
    await this.#transport.send(of(generationId, `/preview/share/${encodeURIComponent(shareId)}`), { method: "DELETE" });
  }

  // Logs

  /** Open the log stream; the caller reads the body. Rejects unless the answer is 200 or 204. */
  async openLog(
    generationId: string,
    where: { after?: number; tail?: number; follow?: boolean; filter?: string; previewId?: string | null },
    signal?: AbortSignal,
  ): Promise<Response> {
    await this.#asking;
    // What is known to fail is not asked.
    if (this.#launchedIds?.has(generationId) === false)
      throw new Problem("This project has not been launched yet.", { status: 404, code: "no_active_preview" });
    const query = new URLSearchParams({ ansi: "keep" });
    if (where.after === undefined && where.tail !== undefined) query.set("tail", String(where.tail));
    if (where.follow === false) query.set("follow", "false");
    if (where.filter) query.set("filter", where.filter);
    if (where.previewId) query.set("preview_id", where.previewId);
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (where.after !== undefined) headers["Last-Event-ID"] = String(where.after);
    return this.#transport.send(of(generationId, `/preview/logs/stream?${query.toString()}`), {
      headers,
      ...(signal && { signal }),
    });
  }

  /** Up to `limit` lines right before number `before`, oldest first. */
  logPage(generationId: string, previewId: string, before: number, limit: number, filter = ""): Promise<LogPage> {
    const query = new URLSearchParams({
      preview_id: previewId,
      before: String(before),
      limit: String(limit),
      ansi: "keep",
      ...(filter && { filter }),
    });
    return this.#transport.json(of(generationId, `/preview/logs?${query.toString()}`));
  }

  /** The first `limit` lines that are kept, oldest first. */
  firstLogPage(generationId: string, previewId: string, limit: number): Promise<LogPage> {
    const query = new URLSearchParams({ preview_id: previewId, after: "0", limit: String(limit), ansi: "keep" });
    return this.#transport.json(of(generationId, `/preview/logs?${query.toString()}`));
  }

  /** The log as a file, all lines that are kept and pass; the caller reads the body. */
  exportLog(
    generationId: string,
    what: LogChoice & { format: ExportFormat; previewId: string | null },
    signal?: AbortSignal,
  ): Promise<Response> {
    const query = new URLSearchParams({ format: what.format });
    // As the lines that are here are saved: the other kinds are for readers of plain text.
    if (what.format === "jsonl") query.set("ansi", "keep");
    if (what.previewId !== null) query.set("preview_id", what.previewId);
    if (what.level !== undefined) query.set("level", what.level);
    if (what.source !== undefined) query.set("source", what.source);
    if (what.filter) query.set("filter", what.filter);
    return this.#transport.send(of(generationId, `/preview/logs?${query.toString()}`), signal ? { signal } : {});
  }

  /** The terms of a filter. Rejects with a sentence if the text is none. */
  async explainFilter(text: string): Promise<FilterTerm[]> {
    const found = await this.#transport.json<{ terms: FilterTerm[] }>(
      `/api/v1/filter?text=${encodeURIComponent(text)}`,
    );
    return found.terms;
  }

  // Endpoints and requests

  /** The endpoints, with the schemas that only the other contract's document carries. */
  async endpoints(generationId: string): Promise<EndpointListing> {
    const [words, schemas] = await Promise.all([
      this.#transport.json<ToldListing>(of(generationId, "/preview/endpoints")),
      this.#transport.json<{ endpoints: PlanEndpoint[] }>(
        `/api/generations/${encodeURIComponent(generationId)}/endpoints`,
      ),
    ]);
    const known = new Map(schemas.endpoints.map((one) => [`${one.method} ${one.path}`, one]));
    const endpoints = words.endpoints.map((one): Endpoint => {
      const schema = known.get(`${one.method ?? ""} ${one.path ?? ""}`);
      return {
        method: one.method ?? "GET",
        path: one.path ?? "/",
        summary: one.summary ?? "",
        description: one.description ?? "",
        tags: one.tags ?? [],
        query: schema?.requestSchema?.query ?? {},
        body: schema?.requestBody ?? null,
        response: schema?.responseSchema ?? null,
        source: one.source ?? "static",
        file: one.file ?? null,
        line: one.line ?? null,
        parameters: one.parameters ?? [],
        bodies: one.bodies ?? [],
        credentials: one.credentials ?? [],
      };
    });
    return { endpoints, sockets: words.sockets ?? [], complete: words.complete ?? true, unread: words.unread ?? [] };
  }

  /**
   * Send a request to the running preview. A token that is missing or over is fetched again, once. With `onGrow` the
   * response is reported while it comes.
   */
  async request(
    generationId: string,
    request: ProxyRequest,
    signal?: AbortSignal,
    onGrow?: (answer: GrowingAnswer) => void,
  ): Promise<ProxyResponse> {
    const send = async (token: string): Promise<ProxyResponse> => {
      const call: Call = {
        method: "POST",
        json: onGrow ? { ...request, stream: true } : request,
        headers: { "X-Preview-Token": token },
        ...(signal && { signal }),
      };
      if (!onGrow) return this.#transport.json(of(generationId, "/preview/request"), call);
      const response = await this.#transport.send(of(generationId, "/preview/request"), call);
      // An older service answers with the whole.
      if (!response.body || !/^text\/event-stream/.test(response.headers.get("Content-Type") ?? ""))
        return (await response.json()) as ProxyResponse;
      return readStreamedAnswer(response.body, onGrow, signal);
    };
    const kept = this.#previewTokens.get(generationId);
    try {
      return await send(kept ?? (await this.#newPreviewToken(generationId)));
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "invalid_preview_token" || kept === undefined) throw error;
      return send(await this.#newPreviewToken(generationId));
    }
  }

  async #newPreviewToken(generationId: string): Promise<string> {
    const made = await this.#transport.json<{ session_token: string }>(of(generationId, "/preview/token"), {
      method: "POST",
    });
    this.#previewTokens.set(generationId, made.session_token);
    return made.session_token;
  }

  // Generations

  async generations(): Promise<Generation[]> {
    return (await this.#transport.json<{ generations: Generation[] }>("/api/v1/generations?limit=100")).generations;
  }

  async deleteGeneration(generationId: string): Promise<void> {
    await this.#transport.send(of(generationId, ""), { method: "DELETE" });
  }

  uploadFiles(name: string, files: Record<string, string | { base64: string }>): Promise<Generation> {
    return this.#transport.json("/api/v1/generations", { method: "POST", json: { name, files } });
  }

  uploadArchive(name: string, archive: File): Promise<Generation> {
    const form = new FormData();
    form.set("name", name);
    form.set("archive", archive);
    return this.#transport.json("/api/v1/generations", { method: "POST", form });
  }

  /** Make the generation's files these; its running preview is reloaded. A dry run only tells what would change. */
  replaceFiles(
    generationId: string,
    files: Record<string, string | { base64: string }>,
    isDry = false,
  ): Promise<FilesChanged> {
    return this.#replace(generationId, { method: "PUT", json: { files } }, isDry);
  }

  replaceByArchive(generationId: string, archive: File, isDry = false): Promise<FilesChanged> {
    const form = new FormData();
    form.set("archive", archive);
    return this.#replace(generationId, { method: "PUT", form }, isDry);
  }

  async #replace(generationId: string, call: Call, isDry: boolean): Promise<FilesChanged> {
    if (isDry) return this.#transport.json<FilesChanged>(of(generationId, "/files?dry_run=true"), call);
    try {
      return await this.#transport.json<FilesChanged>(of(generationId, "/files"), call);
    } finally {
      this.#tell(generationId, "changed");
    }
  }

  // Session

  session(): Promise<Session> {
    return this.#transport.json("/api/v1/session");
  }

  /** Trade a pasted token for the HttpOnly cookie. */
  openSession(token: string): Promise<Session> {
    return this.#transport.json("/api/v1/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  }

  async logout(): Promise<void> {
    await this.#transport.send("/api/v1/logout", { method: "POST" });
  }

  // News between the pieces on one page

  /** Be told when this generation's preview was launched or changed through this client. */
  onChange(generationId: string, listener: (change: Change) => void): () => void {
    const listeners = this.#listeners.get(generationId) ?? new Set();
    this.#listeners.set(generationId, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(generationId);
    };
  }

  /** Say that something is known to have changed (the stream told so). */
  noteChange(generationId: string): void {
    this.#tell(generationId, "changed");
  }

  /** Say that a generation has a preview, launched here or elsewhere. */
  noteLaunched(generationId: string): void {
    this.#launchedIds?.add(generationId);
  }

  /** Say that the service is there again, or has a preview that was launched elsewhere: who waits connects at once. */
  noteBack(generationId: string): void {
    this.#tell(generationId, "back");
  }

  #tell(generationId: string, change: Change): void {
    for (const listener of [...(this.#listeners.get(generationId) ?? [])]) listener(change);
  }

  #launched(launched: Launched): Launched {
    this.#previewTokens.set(launched.generation_id, launched.session_token);
    this.#launchedIds?.add(launched.generation_id);
    this.#tell(launched.generation_id, "launched");
    return launched;
  }
}
