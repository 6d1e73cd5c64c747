import type { PreviewClient } from "../api/client";
import { type Translate, english, inEnglish, type Untranslated } from "../texts/translate";

/** One row of the list: a message, or something about the connection. */
export interface SocketRow {
  id: number;
  at: number;
  kind: "sent" | "received" | "note";
  text: string;
  /** Bytes are shown as base64. */
  isBinary?: boolean;
  isBad?: boolean;
}

export type SocketPhase = "closed" | "connecting" | "open";

/** A new object with each change. */
export interface SocketState {
  phase: SocketPhase;
  rows: readonly SocketRow[];
  /** Rows that were dropped, as a page keeps so many only. */
  dropped: number;
}

export interface SocketAsk {
  path: string;
  headers: readonly (readonly [string, string])[];
  protocols: readonly string[];
}

/** What the service says of the preview's WebSocket. */
type Told =
  | { type: "open"; subprotocol: string | null; elapsed_ms: number }
  | { type: "text"; text: string }
  | { type: "binary"; base64: string }
  | { type: "refused"; status: number; body: string }
  | { type: "error"; code: string; message: string }
  | { type: "close"; code: number; reason: string; by: "preview" | "you" | "service" };

export const MAX_ROWS = 500;
export const MAX_CHARS = 2 * 1024 * 1024;
/** Longer messages are shown by their beginning. */
export const MAX_SHOWN = 20_000;
/** So often at most is the list renewed: a socket may say more than a person reads. */
const EACH_MS = 50;

/** A conversation over a WebSocket of the preview, which the service carries. */
export class SocketTalk {
  #t: Translate = inEnglish;
  readonly #listeners = new Set<() => void>();
  #socket: WebSocket | undefined;
  #state: SocketState = { phase: "closed", rows: [], dropped: 0 };
  #next: SocketRow[] = [];
  #id = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  get state(): SocketState {
    return this.#state;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Take over the words of the panel that shows it. */
  speak(t: Translate): void {
    this.#t = t;
  }

  /** Connect; one that is open is closed first. */
  connect(client: PreviewClient, generationId: string, ask: SocketAsk): void {
    this.#socket?.close();
    const socket = (this.#socket = new WebSocket(client.socketAddress(generationId)));
    this.#set({ phase: "connecting" });
    this.#note(this.#t("Connecting to {path}…", { path: ask.path }));
    socket.onopen = () => socket.send(JSON.stringify({ type: "open", ...ask }));
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      if (this.#socket === socket) this.#take(JSON.parse(data) as Told);
    };
    socket.onclose = ({ wasClean }) => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      if (!wasClean)
        this.#note(
          this.#state.phase === "connecting"
            ? this.#t("The service refused the connection. Is the preview running, and may you send requests?")
            : this.#t("The connection to the service was lost."),
          true,
        );
      this.#set({ phase: "closed" });
    };
  }

  send(text: string): void {
    this.#socket?.send(JSON.stringify({ type: "text", text }));
    this.#add("sent", text);
  }

  /** Send bytes, given as base64. */
  sendBinary(base64: string): void {
    this.#socket?.send(JSON.stringify({ type: "binary", base64 }));
    this.#add("sent", base64, { isBinary: true });
  }

  close(code = 1000, reason = ""): void {
    if (this.#state.phase === "open") this.#socket?.send(JSON.stringify({ type: "close", code, reason }));
    else this.#socket?.close();
  }

  clear(): void {
    this.#next = [];
    this.#set({ rows: [], dropped: 0 });
  }

  #take(told: Told): void {
    switch (told.type) {
      case "open":
        this.#set({ phase: "open" });
        this.#note(
          told.subprotocol
            ? this.#t("Connected in {ms} ms, subprotocol {subprotocol}.", {
                ms: Math.round(told.elapsed_ms),
                subprotocol: told.subprotocol,
              })
            : this.#t("Connected in {ms} ms.", { ms: Math.round(told.elapsed_ms) }),
        );
        break;
      case "text":
        this.#add("received", told.text);
        break;
      case "binary":
        this.#add("received", told.base64, { isBinary: true });
        break;
      case "refused":
        this.#note(
          this.#t("The preview refused the WebSocket with status {status}. {body}", {
            status: told.status,
            body: told.body.slice(0, 500),
          }),
          true,
        );
        break;
      case "error":
        this.#note(told.message, true);
        break;
      case "close":
        this.#set({ phase: "closed" });
        this.#note(closeSentence(this.#t, told.code, told.reason, told.by), told.code !== 1000 && told.code < 3000);
        break;
    }
  }

  #note(text: string, isBad = false): void {
    this.#add("note", text, isBad ? { isBad } : {});
  }

  #add(kind: SocketRow["kind"], text: string, more: Partial<SocketRow> = {}): void {
    this.#next.push({ id: (this.#id += 1), at: Date.now(), kind, text, ...more });
    // Of a flood, what would be dropped at once is not kept until the next renewal.
    if (this.#next.length > 2 * MAX_ROWS) this.#renew();
    this.#timer ??= setTimeout(() => this.#renew(), EACH_MS);
  }

  #renew(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const next = this.#next;
    this.#next = [];
    this.#set({ ...bounded([...this.#state.rows, ...next], this.#state.dropped) });
  }

  #set(change: Partial<SocketState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}

/** The newest rows, as many as a page keeps. */
export function bounded(rows: readonly SocketRow[], dropped: number): Pick<SocketState, "rows" | "dropped"> {
  let chars = 0;
  let from = rows.length;
  while (from > 0 && rows.length - from < MAX_ROWS) {
    chars += rows[from - 1]?.text.length ?? 0;
    if (chars > MAX_CHARS && from < rows.length) break;
    from -= 1;
  }
  return { rows: rows.slice(from), dropped: dropped + from };
}

/** RFC 6455 section 7.4.1 in words. */
const CODES: Readonly<Record<number, Untranslated>> = {
  1000: english("normal end"),
  1001: english("going away"),
  1002: english("protocol error"),
  1003: english("this kind of data is not accepted"),
  1005: english("no code given"),
  1006: english("the connection broke"),
  1007: english("the text was not valid UTF-8"),
  1008: english("policy violation"),
  1009: english("the message was too big"),
  1010: english("an extension is missing"),
  1011: english("internal error"),
  1012: english("restarting"),
  1013: english("overloaded, try again later"),
  1014: english("bad gateway"),
};

/** Who closed, with the code in words. */
export function closeSentence(t: Translate, code: number, reason: string, by: "preview" | "you" | "service"): string {
  const known = CODES[code];
  const words = known ? t(known) : code >= 4000 ? t("the application’s own code") : t("a library’s code");
  const values = { code, words: reason ? `${words} (${reason})` : words };
  if (by === "preview") return t("The preview closed the connection: {code}, {words}.", values);
  if (by === "you") return t("You closed the connection: {code}, {words}.", values);
  return t("The service closed the connection: {code}, {words}.", values);
}

const talks = new WeakMap<PreviewClient, Map<string, SocketTalk>>();

/** The conversation of a generation; it goes on while another view is shown. */
export function talkOf(client: PreviewClient, generationId: string): SocketTalk {
  const ofClient = talks.get(client) ?? new Map<string, SocketTalk>();
  talks.set(client, ofClient);
  const talk = ofClient.get(generationId) ?? new SocketTalk();
  ofClient.set(generationId, talk);
  return talk;
}
