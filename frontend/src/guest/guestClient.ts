import { PreviewClient } from "../lib";
import { Problem } from "../lib/api/problem";
import type { Call } from "../lib/api/transport";
import { of } from "../lib/api/transport";
import type { Endpoint, EndpointListing, PreviewInstance, ProxyRequest, ProxyResponse } from "../lib/api/types";

/** A client of a guest, who sees one preview and has no account: what only accounts may ask is answered from its status. */
export class GuestPreviewClient extends PreviewClient {
  readonly #generationId: string;
  readonly #expiresAt: string;

  constructor(generationId: string, expiresAt: string) {
    // Neither a token nor a session: the guest's cookie is enough.
    super();
    this.#generationId = generationId;
    this.#expiresAt = expiresAt;
  }

  /** A guest replays on a trial. */
  override json<T>(path: string, call: Call = {}): Promise<T> {
    const isReplay = /\/requests\/\d+\/replay$/.test(path);
    return super.json<T>(path, isReplay ? { ...call, json: { ...(call.json as object), on: "trial" } } : call);
  }

  override async previews(): Promise<PreviewInstance[]> {
    return [await this.#instance()];
  }

  override newestPreview(): Promise<PreviewInstance> {
    return this.#instance();
  }

  override async preview(id: string): Promise<PreviewInstance> {
    const found = await this.#instance();
    if (found.id !== id) throw new Problem("The preview you were invited to has ended.", { status: 404 });
    return found;
  }

  /** Without schemas: these have a route that no guest reaches. */
  override async endpoints(generationId: string): Promise<EndpointListing> {
    const told = await super.json<Partial<Omit<EndpointListing, "endpoints">> & { endpoints: Partial<Endpoint>[] }>(
      of(generationId, "/preview/endpoints"),
    );
    const endpoints = told.endpoints.map((one) => ({
      method: "GET",
      path: "/",
      summary: "",
      description: "",
      tags: [],
      query: {},
      body: null,
      response: null,
      source: "static" as const,
      ...one,
    }));
    return { endpoints, sockets: told.sockets ?? [], complete: told.complete ?? true, unread: told.unread ?? [] };
  }

  override request(generationId: string, request: ProxyRequest, signal?: AbortSignal): Promise<ProxyResponse> {
    const call: Call = { method: "POST", json: request, ...(signal && { signal }) };
    return super.json(of(generationId, "/preview/request"), call);
  }

  async #instance(): Promise<PreviewInstance> {
    const status = await this.status(this.#generationId);
    return {
      id: status.id,
      generation_id: this.#generationId,
      project_id: "",
      user_id: "",
      status: status.status,
      health: status.health,
      port: status.port,
      base_url: status.base_url,
      created_at: status.started_at ?? "",
      started_at: status.started_at,
      stopped_at: null,
      expires_at: this.#expiresAt,
      reason: status.reason ?? null,
      exit_code: status.exit_code ?? null,
      exit_signal: status.exit_signal ?? null,
    };
  }
}
