import type { PreviewClient } from "../api/client";

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

  /** Connect; one that is open is closed first. */
  connect(client: PreviewClient, generationId: string, ask: SocketAsk): void {
    this.#socket?.close();
    const socket = (this.#socket = new WebSocket(client.socketAddress(generationId)));
    this.#set({ phase: "connecting" });
    this.#note(`Connecting to ${ask.path}…`);
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
            ? "The service refused the connection. Is the preview running, and may you send requests?"
            : "The connection to the service was lost.",
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
          `Connected in ${Math.round(told.elapsed_ms)} ms${told.subprotocol ? `, subprotocol ${told.subprotocol}` : ""}.`,
        );
        break;
      case "text":
        this.#add("received", told.text);
        break;
      case "binary":
        this.#add("received", told.base64, { isBinary: true });
        break;
      case "refused":
        this.#note(`The preview refused the WebSocket with status ${told.status}. ${told.body.slice(0, 500)}`, true);
        break;
      case "error":
        this.#note(told.message, true);
        break;
      case "close":
        this.#set({ phase: "closed" });
        this.#note(closeSentence(told.code, told.reason, told.by), told.code !== 1000 && told.code < 3000);
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
const CODES: Readonly<Record<number, string>> = {
  1000: "normal end",
  1001: "going away",
  1002: "protocol error",
  1003: "this kind of data is not accepted",
  1005: "no code given",
  1006: "the connection broke",
  1007: "the text was not valid UTF-8",
  1008: "policy violation",
  1009: "the message was too big",
  1010: "an extension is missing",
  1011: "internal error",
  1012: "restarting",
  1013: "overloaded, try again later",
  1014: "bad gateway",
};

const CLOSERS = { preview: "The preview", you: "You", service: "The service" } as const;

/** Who closed, with the code in words. */
export function closeSentence(code: number, reason: string, by: keyof typeof CLOSERS): string {
  const words = CODES[code] ?? (code >= 4000 ? "the application’s own code" : "a library’s code");
  return `${CLOSERS[by]} closed the connection: ${code}, ${words}${reason ? ` (${reason})` : ""}.`;
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
