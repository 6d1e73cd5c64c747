import type { PreviewClient } from "../api/client";
import { asProblem, Problem } from "../api/problem";
import type { EndEvent, LogLine, LogPage, StatusEvent, ToldStep } from "../api/types";
import { type ConnectionState, LogConnection, type StreamEvent } from "../stream/connection";
import { canShare, type Feed, SharedFeed } from "../stream/shared";
import { type HealthCheck, healthCheckOf } from "./health";
import { forgetTail, keepTail, keptTail } from "./keep";
import { isAbout, linesAbout, overMark, type RequestLines, type RequestMark } from "./marks";
import { type LaunchStep, launchSteps } from "./steps";
import { LogStore } from "./store";

/** Everything about a log but its lines; a new object with each change. */
export interface LogSnapshot {
  connection: ConnectionState;
  status: StatusEvent | null;
  end: EndEvent | null;
  steps: readonly LaunchStep[];
  previewId: string | null;
  loadingOlder: boolean;
  marks: readonly RequestMark[];
  /** How often a new process has taken over. What it serves may be something else. */
  restarts: number;
  /** What the service asks the preview all the time; null until it has answered once. */
  healthCheck: HealthCheck | null;
}

/** Asked for on the first connection; what is older comes when somebody scrolls to it. */
const TAIL_LINES = 5_000;
const OLDER_LINES = 1_000;
/** What a request causes is printed a moment after its answer, too (access lines). */
const GRACE_MS = 300;
const STORED_MS = 500;
const MAX_MARKS = 50;
const KEEP_EACH_MS = 1_000;

/** Over all sessions of the page: a mark of one that was closed means nothing in the next. */
let nextMark = 0;

/**
 * The log of one generation's preview in this tab: its lines, its connection, and what they tell of the preview.
 *
 * All components on a page that show the same generation share one (see `openLogSession`). With a filter it has the lines
 * that the service lets through, over a connection of its own.
 */
export class LogSession {
  readonly generationId: string;
  /** In the filter language; empty for none. */
  readonly filter: string;
  /** Id of an earlier launch whose log this is; null: the newest one. */
  readonly launch: string | null;
  readonly store: LogStore;
  readonly #client: PreviewClient;
  readonly #listeners = new Set<() => void>();
  readonly #revealers = new Set<(seq: number) => void>();
  #feed: Feed | undefined;
  #snapshot: LogSnapshot;
  #keepTimer: ReturnType<typeof setTimeout> | undefined;
  #loading: Promise<void> | undefined;
  #forgetChange: (() => void) | undefined;

  constructor(client: PreviewClient, generationId: string, filter = "", launch: string | null = null) {
    this.#client = client;
    this.generationId = generationId;
    this.filter = filter;
    this.launch = launch;
    this.store = new LogStore({ isSparse: filter !== "" });
    this.#snapshot = {
      connection: { phase: "idle" },
      status: null,
      end: null,
      steps: launchSteps(undefined),
      previewId: null,
      loadingOlder: false,
      marks: [],
      restarts: 0,
      healthCheck: null,
    };
  }

  get snapshot(): LogSnapshot {
    return this.#snapshot;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Connect, from where this tab was before a reload. */
  open(): void {
    if (this.launch !== null) {
      this.#connect();
      return;
    }
    this.#forgetChange = this.#client.onChange(this.generationId, (change) => {
      if (change === "launched") this.#reconnect();
      if (change === "back") this.retryNow();
    });
    globalThis.addEventListener("pagehide", this.#keep);
    const kept = this.store.lastSeq === 0 && this.filter === "" ? keptTail(this.generationId) : null;
    if (kept) {
      this.store.append(kept.lines);
      this.#update({ previewId: kept.previewId });
    }
    this.#connect();
  }

  close(): void {
    this.#keep();
    clearTimeout(this.#keepTimer);
    globalThis.removeEventListener("pagehide", this.#keep);
    this.#forgetChange?.();
    this.#feed?.stop();
    this.#feed = undefined;
  }

  readonly retryNow = (): void => {
    if (this.#snapshot.connection.phase === "failed" || this.#snapshot.connection.phase === "ended") this.#reconnect();
    else this.#feed?.retryNow();
  };

  readonly clear = (): void => {
    this.store.clear();
    this.#forgetTail();
  };

  /** Show again what was cleared. */
  readonly restore = (): void => this.store.restore();

  /** Fetch the lines before the oldest one here. Resolves when they are here, or cannot be had. */
  readonly loadOlder = (): Promise<void> => {
    this.#loading ??= this.#loadOlder().finally(() => {
      this.#loading = undefined;
      this.#update({ loadingOlder: false });
    });
    return this.#loading;
  };

  /** Mark the lines that come from now on; the answer ends it, a moment later. */
  readonly markLines = (label: string): { id: number; end: (told?: RequestLines) => void } => {
    const fromSeq = this.store.lastSeq + 1;
    const mark: RequestMark = { id: (nextMark += 1), label, fromSeq, toSeq: null, requestId: null, isExact: false };
    this.#update({ marks: [...this.#snapshot.marks, mark].slice(-MAX_MARKS) });
    const end = (told: RequestLines = {}): void => {
      setTimeout(() => {
        const done = overMark(mark, told, this.store, this.#snapshot.healthCheck);
        this.#update({ marks: this.#snapshot.marks.map((one) => (one.id === mark.id ? done : one)) });
      }, GRACE_MS);
    };
    return { id: mark.id, end };
  };

  /** The lines that bear this mark, oldest first; none while its request runs. */
  linesOf(mark: RequestMark): LogLine[] {
    return mark.toSeq === null ? [] : linesAbout(mark, this.store, this.#snapshot.healthCheck);
  }

  /** The request that this line is about, as far as it is known. */
  markOf(line: LogLine): RequestMark | undefined {
    return this.#snapshot.marks.findLast((one) => isAbout(one, line, this.#snapshot.healthCheck));
  }

  /** Be told which line somebody wants to see. */
  readonly onReveal = (listener: (seq: number) => void): (() => void) => {
    this.#revealers.add(listener);
    return () => this.#revealers.delete(listener);
  };

  /** Bring a line into sight wherever this log is shown. */
  readonly reveal = (seq: number): void => {
    for (const listener of this.#revealers) listener(seq);
  };

  async #loadOlder(): Promise<void> {
    const { previewId } = this.#snapshot;
    if (!this.store.hasOlder || previewId === null) return;
    this.#update({ loadingOlder: true });
    try {
      const before = this.store.firstSeq;
      const read = (): Promise<LogPage> =>
        this.#client.logPage(this.generationId, previewId, before, OLDER_LINES, this.filter);
      let page = await read();
      if (page.lines.at(-1)?.seq !== before - 1 && this.filter === "") {
        // What was said a moment ago may not have been written down yet.
        await new Promise((resolve) => setTimeout(resolve, STORED_MS));
        page = await read();
      }
      this.store.prepend(page.lines, page.first_kept);
    } catch (error) {
      const problem = asProblem(error);
      // A service without pages of history: what is here is all there is to show.
      if (problem.status === 404 || problem.status === 405) this.store.prepend([], 0);
    }
  }

  #reconnect(): void {
    this.#feed?.stop();
    this.#connect();
  }

  #connect(): void {
    const { previewId } = this.#snapshot;
    const options = {
      open: (after: number | undefined, signal: AbortSignal) => this.#open(after, signal, true),
      openOnce: (after: number | undefined, signal: AbortSignal) => this.#open(after, signal, false),
      onEvent: (event: StreamEvent) => this.#take(event),
      onState: (connection: ConnectionState) => this.#update({ connection }),
      resume: previewId !== null && this.store.lastSeq > 0 ? { previewId, lastSeq: this.store.lastSeq } : undefined,
    };
    // What a filter lets through has holes, which tabs that share cannot tell from a loss.
    this.#feed =
      canShare() && this.#isWhole
        ? new SharedFeed({ ...options, key: `preview:log:${this.generationId}` })
        : new LogConnection(options);
    this.#feed.start();
  }

  async #open(after: number | undefined, signal: AbortSignal, follow: boolean): Promise<Response> {
    // Behind a number of an earlier preview nothing would be missing from that one, but perhaps from this one.
    const where = after === undefined ? { tail: TAIL_LINES } : { after };
    return this.#client.openLog(
      this.generationId,
      { ...where, follow, filter: this.filter, previewId: this.launch },
      signal,
    );
  }

  #take(event: StreamEvent): void {
    switch (event.kind) {
      case "lines":
        this.store.append(event.lines);
        this.#keepTimer ??= setTimeout(this.#keep, KEEP_EACH_MS);
        break;
      case "gap":
        this.store.appendGap(event.gap);
        break;
      case "status":
        this.#takeStatus(event.status);
        break;
      case "end":
        this.#update({ end: event.end, previewId: event.end.id, ...stepsOf(event.end.steps) });
        this.#noteChange();
        break;
      case "reset":
        this.#forgetTail();
        this.store.reset();
        this.#update({
          previewId: event.previewId,
          status: null,
          end: null,
          steps: launchSteps(undefined),
          marks: [],
          restarts: 0,
          healthCheck: null,
        });
        break;
    }
  }

  #takeStatus(status: StatusEvent): void {
    const before = this.#snapshot.status;
    const restarts = status.restarts ?? 0;
    this.#update({ status, previewId: status.id, end: null, restarts, ...stepsOf(status.steps) });
    // A step of a launch is no change of the preview.
    if (before?.id !== status.id || before.status !== status.status || before.health !== status.health)
      this.#noteChange();
  }

  /** The session of the newest launch without a filter speaks for all. */
  get #isWhole(): boolean {
    return this.filter === "" && this.launch === null;
  }

  #noteChange(): void {
    if (this.#isWhole) this.#client.noteChange(this.generationId);
  }

  #forgetTail(): void {
    if (this.#isWhole) forgetTail(this.generationId);
  }

  readonly #keep = (): void => {
    clearTimeout(this.#keepTimer);
    this.#keepTimer = undefined;
    const { previewId } = this.#snapshot;
    if (previewId !== null && this.#isWhole) keepTail(this.generationId, previewId, this.store);
  };

  #update(change: Partial<LogSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of this.#listeners) listener();
  }
}

function stepsOf(told: readonly ToldStep[] | undefined): Pick<LogSnapshot, "steps" | "healthCheck"> {
  return { steps: launchSteps(told), healthCheck: healthCheckOf(told) };
}

const sessions = new WeakMap<PreviewClient, Map<string, { session: LogSession; users: number }>>();

/** The session of a generation on this page, opened by its first user and closed behind the last; one for each filter and launch. */
export function openLogSession(
  client: PreviewClient,
  generationId: string,
  filter = "",
  launch: string | null = null,
): { session: LogSession; release: () => void } {
  const ofClient = sessions.get(client) ?? new Map<string, { session: LogSession; users: number }>();
  sessions.set(client, ofClient);
  const key = JSON.stringify([generationId, filter, launch]);
  let shared = ofClient.get(key);
  if (!shared) {
    shared = { session: new LogSession(client, generationId, filter, launch), users: 0 };
    ofClient.set(key, shared);
    shared.session.open();
  }
  const mine = shared;
  mine.users += 1;
  return {
    session: mine.session,
    release: () => {
      mine.users -= 1;
      if (mine.users > 0) return;
      ofClient.delete(key);
      mine.session.close();
    },
  };
}

/** Whether a failed connection only means that there was never a preview to watch. */
export function isNothingYet(state: ConnectionState): boolean {
  return state.phase === "failed" && state.problem instanceof Problem && state.problem.code === "no_active_preview";
}
