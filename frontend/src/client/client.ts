import { PreviewProblem } from "./errors.js";
import { type Call, type ClientOptions, Http } from "./http.js";
import { checkUpload, type Files, jsonOf, Preview, type StartOptions } from "./preview.js";
import type { GenerationShape, InstancePage } from "./schema.js";

export interface LaunchOptions extends StartOptions {
  /** A name for people. */
  name?: string;
  /** The project that the files are a new version of; without it, a new project. */
  projectId?: string;
}

const UPLOAD_MS = 600_000;

/** A client of one service. */
export class Client {
  readonly #http: Http;

  /**
   * @param url `http(s)://HOST[:PORT][/PREFIX]`; "" is the page's own origin, in a browser.
   * @param options The token, and how requests are sent.
   */
  constructor(url: string, options: ClientOptions = {}) {
    this.#http = new Http(url, options);
  }

  /**
   * Upload files and launch them; with `wait` until the preview is healthy, at most so many seconds.
   *
   * Throws `PreviewProblem` if it was refused, failed, or was not healthy in time; `details` has the `generation_id`.
   */
  async launch(files: Files, { name = "files", projectId, ...start }: LaunchOptions = {}): Promise<Preview> {
    checkUpload(files);
    const generation = await this.#http.json<GenerationShape>({
      method: "POST",
      path: "/generations",
      body: { name, files: jsonOf(files), ...(projectId !== undefined && { project_id: projectId }) },
      timeoutMs: UPLOAD_MS,
      signal: start.signal,
    });
    const preview = this.preview(generation.id);
    try {
      await preview.start(start);
    } catch (error) {
      if (error instanceof PreviewProblem) error.details.generation_id ??= generation.id;
      throw error;
    }
    return preview;
  }

  /** The newest preview of a generation; nothing is requested yet. */
  preview(generationId: string): Preview {
    return new Preview(this.#http, generationId);
  }

  /** Your newest previews. */
  previews(limit = 50): Promise<InstancePage> {
    return this.#http.json({ path: "/previews", query: { limit } });
  }

  /** Any other route; the answer's JSON. */
  call<T>(call: Call): Promise<T> {
    return this.#http.json<T>(call);
  }
}
