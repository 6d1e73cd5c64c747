import type { GrowingAnswer } from "../api/calls";
import type { PreviewClient } from "../api/client";
import { asProblem, type Problem } from "../api/problem";
import type { Endpoint, ProxyResponse } from "../api/types";
import type { RequestLines } from "../logs/marks";
import { ANY_BEARER, type Draft, draftOf, EMPTY, requestOf, target, withSecrets } from "./draft";

/** A request that was sent. */
export interface Sent {
  id: number;
  at: number;
  draft: Draft;
  target: string;
  status: number | null;
  elapsedMs: number | null;
  error: string | null;
}

/** A request that was sent, and what came of it. */
export interface Exchange {
  sent: Sent;
  isOn: boolean;
  /** The response while it comes. */
  growing: GrowingAnswer | null;
  answer: ProxyResponse | null;
  problem: Problem | null;
  /** The mark of its lines in the log. */
  markId: number | null;
}

export type DeskView = "endpoints" | "request" | "records" | "compare" | "socket";

/** A new object with each change. */
export interface DeskSnapshot {
  view: DeskView;
  draft: Draft;
  /** What stands under the draft; nothing where the draft is another request's. */
  shown: Exchange | null;
  /** Requests that have been answered, or failed. */
  settled: number;
  /** The path of the WebSocket; null until there is one. */
  socketPath: string | null;
  /** Number of the recorded request that is shown; null for the list. */
  record: number | null;
}

/** A request with its variables filled in, as far as this page knows them. */
export interface Ready {
  draft: Draft;
  /** Let the service put the others in. */
  resolve?: boolean;
}

/** Marks what the log says from now on, until `end`. */
export type MarkLines = (label: string) => { id: number; end: (told?: RequestLines) => void };

/**
 * What a person does with the endpoints of one generation: the draft, the requests, their answers.
 *
 * It outlives the panel that shows it, so that nothing is lost by looking at another project meanwhile.
 */
export class RequestDesk {
  readonly #client: PreviewClient;
  readonly #generationId: string;
  readonly #listeners = new Set<() => void>();
  #lastId = 0;
  #running: AbortController | undefined;
  /** The draft that was made from an endpoint, as long as the person has not changed it. */
  #picked: Draft | undefined;
  #isPicked = false;
  #snapshot: DeskSnapshot;

  constructor(client: PreviewClient, generationId: string) {
    this.#client = client;
    this.#generationId = generationId;
    this.#snapshot = { view: "endpoints", draft: EMPTY, shown: null, settled: 0, record: null, socketPath: null };
  }

  get snapshot(): DeskSnapshot {
    return this.#snapshot;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Show a recorded request. */
  readonly showRecord = (record: number | null): void => this.#update({ view: "records", record });

  /** Show the WebSocket client with this path. */
  readonly pickSocket = (socketPath: string): void => this.#update({ view: "socket", socketPath });

  readonly look = (view: DeskView): void => this.#update({ view });

  /** Change the request that is being written; the answer below stays, it names its own request. */
  readonly write = (draft: Draft): void => this.#update({ draft });

  /** Start a request to an endpoint; tokens of the one before stay. */
  readonly pick = (endpoint: Endpoint): void => {
    const draft = withSecrets(draftOf(endpoint), this.#snapshot.draft.secrets);
    this.#picked = draft;
    this.#isPicked = true;
    this.begin(draft);
  };

  /** Return whether an endpoint was picked since the last call. */
  readonly takePicked = (): boolean => {
    const isPicked = this.#isPicked;
    this.#isPicked = false;
    return isPicked;
  };

  /** Send this token with the requests from now on, until the page is closed. */
  readonly useToken = (token: string): void => {
    const { draft } = this.#snapshot;
    this.#update({ draft: withSecrets(draft, { ...draft.secrets, [ANY_BEARER]: token }) });
  };

  /** Fill in a request that was not touched yet, when more is known: a running preview describes its endpoints. */
  readonly learn = (endpoints: readonly Endpoint[]): void => {
    const { draft, shown } = this.#snapshot;
    if (draft !== this.#picked || shown !== null) return;
    const known = endpoints.find((one) => one.method === draft.method && one.path === draft.path);
    if (!known) return;
    const next = withSecrets(draftOf(known), draft.secrets);
    if (JSON.stringify(next) === JSON.stringify(draft)) return;
    this.#picked = next;
    this.#update({ draft: next });
  };

  /** Begin another request: what was answered before is not about it. */
  readonly begin = (draft: Draft): void => this.#update({ view: "request", draft, shown: null });

  readonly cancel = (): void => this.#running?.abort();

  /** Send `ready`, which is shown as `draft`; a request that is still under way is given up. Resolves when it is answered. */
  async send(draft: Draft, markLines: MarkLines, ready: Ready = { draft }): Promise<void> {
    this.#running?.abort();
    const mine = (this.#running = new AbortController());
    const at = Date.now();
    const id = (this.#lastId = Math.max(at, this.#lastId + 1));
    const sent: Sent = { id, at, draft, target: target(ready.draft), status: null, elapsedMs: null, error: null };
    const mark = markLines(`${draft.method} ${sent.target}`);
    let told: RequestLines = {};
    const started: Exchange = { sent, isOn: true, growing: null, answer: null, problem: null, markId: mark.id };
    let growing: GrowingAnswer | null = null;
    const onGrow = (next: GrowingAnswer): void => {
      growing = next;
      if (this.#snapshot.shown?.sent.id === id) this.#update({ shown: { ...started, growing } });
    };
    const settle = (answer: ProxyResponse): void => {
      told = { requestId: answer.request_id, range: answer.log };
      const done = { ...sent, status: answer.status_code, elapsedMs: answer.elapsed_ms };
      this.#settle({ ...started, sent: done, isOn: false, answer });
    };
    this.#update({ view: "request", draft, shown: started });
    try {
      const request = { ...requestOf(ready.draft), ...(ready.resolve && { resolve: true }) };
      settle(await this.#client.request(this.#generationId, request, mine.signal, onGrow));
    } catch (error) {
      if (mine.signal.aborted) {
        const startedAnswer = growing as GrowingAnswer | null;
        if (startedAnswer) settle(startedAnswer.soFar("Stopped. This is the beginning of the response."));
        else if (this.#snapshot.shown?.sent.id === id) this.#update({ shown: null });
        return;
      }
      const problem = asProblem(error);
      const { request_id } = problem.details;
      if (typeof request_id === "string") told = { requestId: request_id };
      this.#settle({ ...started, sent: { ...sent, error: problem.message }, isOn: false, problem });
    } finally {
      mark.end(told);
    }
  }

  /** Show what came of a request if it is still the one that is looked at. */
  #settle(exchange: Exchange): void {
    const isShown = this.#snapshot.shown?.sent.id === exchange.sent.id;
    this.#update({ settled: this.#snapshot.settled + 1, ...(isShown && { shown: exchange }) });
  }

  #update(change: Partial<DeskSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of this.#listeners) listener();
  }
}

const desks = new WeakMap<PreviewClient, Map<string, RequestDesk>>();

/** The desk of a generation, for as long as the page lives. */
export function deskOf(client: PreviewClient, generationId: string): RequestDesk {
  const ofClient = desks.get(client) ?? new Map<string, RequestDesk>();
  desks.set(client, ofClient);
  const desk = ofClient.get(generationId) ?? new RequestDesk(client, generationId);
  ofClient.set(generationId, desk);
  return desk;
}
