import type { GrowingAnswer } from "../api/calls";
import type { PreviewClient } from "../api/client";
import { asProblem, type Problem } from "../api/problem";
import type { Endpoint, ProxyResponse } from "../api/types";
import type { RequestLines } from "../logs/marks";
import { ANY_BEARER, type Draft, draftOf, EMPTY, requestOf, target, withSecrets } from "./draft";
import { loadHistory, MAX_SENT, saveHistory, type Sent, withSent } from "./history";

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

export type DeskView = "endpoints" | "request" | "history" | "records" | "compare" | "socket";

/** A new object with each change. */
export interface DeskSnapshot {
  view: DeskView;
  draft: Draft;
  /** What stands under the draft; nothing where the draft is another request's. */
  shown: Exchange | null;
  history: readonly Sent[];
  /** The path of the WebSocket; null until there is one. */
  socketPath: string | null;
  /** Number of the recorded request that is shown; null for the list. */
  record: number | null;
}

/** Marks what the log says from now on, until `end`. */
export type MarkLines = (label: string) => { id: number; end: (told?: RequestLines) => void };

/** Bodies that are kept to be looked at again, in UTF-16 units. */
const MAX_BODY_CHARS = 8 * 1024 * 1024;

/**
 * What a person does with the endpoints of one generation: the draft, the requests, their answers.
 *
 * It outlives the panel that shows it, so that nothing is lost by looking at another project meanwhile.
 */
export class RequestDesk {
  readonly #client: PreviewClient;
  readonly #generationId: string;
  readonly #exchanges = new Map<number, Exchange>();
  readonly #listeners = new Set<() => void>();
  #running: AbortController | undefined;
  /** The draft that was made from an endpoint, as long as the person has not changed it. */
  #picked: Draft | undefined;
  #snapshot: DeskSnapshot;

  constructor(client: PreviewClient, generationId: string) {
    this.#client = client;
    this.#generationId = generationId;
    const history = loadHistory(generationId);
    this.#snapshot = { view: "endpoints", draft: EMPTY, shown: null, history, record: null, socketPath: null };
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
    this.begin(draft);
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

  /** Go back to a request of the history, with its own answer. */
  readonly show = (sent: Sent): void => {
    const gone = { sent, isOn: false, growing: null, answer: null, problem: null, markId: null };
    this.#update({ view: "request", draft: sent.draft, shown: this.#exchanges.get(sent.id) ?? gone });
  };

  readonly cancel = (): void => this.#running?.abort();

  readonly forget = (): void => {
    this.#exchanges.clear();
    saveHistory(this.#generationId, []);
    this.#update({ history: [], shown: null });
  };

  /** Send it; a request that is still under way is given up. Resolves when it is answered. */
  async send(draft: Draft, markLines: MarkLines): Promise<void> {
    this.#running?.abort();
    const mine = (this.#running = new AbortController());
    const at = Date.now();
    const id = Math.max(at, (this.#snapshot.history[0]?.id ?? 0) + 1);
    const sent: Sent = { id, at, draft, target: target(draft), status: null, elapsedMs: null, error: null };
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
      settle(await this.#client.request(this.#generationId, requestOf(draft), mine.signal, onGrow));
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

  /** Keep what came of a request, and show it if it is still the one that is looked at. */
  #settle(exchange: Exchange): void {
    const { sent } = exchange;
    const history = withSent(this.#snapshot.history, sent);
    saveHistory(this.#generationId, history);
    this.#exchanges.set(sent.id, exchange);
    this.#trim();
    const isShown = this.#snapshot.shown?.sent.id === sent.id;
    this.#update({ history, ...(isShown && { shown: exchange }) });
  }

  #trim(): void {
    let chars = 0;
    const newestFirst = [...this.#exchanges.values()].reverse();
    for (const [at, { sent, answer }] of newestFirst.entries()) {
      chars += answer?.body.length ?? 0;
      if (at >= MAX_SENT || (at > 0 && chars > MAX_BODY_CHARS)) this.#exchanges.delete(sent.id);
    }
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
