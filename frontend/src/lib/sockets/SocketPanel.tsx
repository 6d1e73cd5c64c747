import { type ReactNode, type SubmitEvent, useEffect, useRef, useState, useSyncExternalStore } from "react";

import type { PreviewClient } from "../api/client";
import type { ListedSocket } from "../api/types";
import { usePreviewClient } from "../context";
import { useTranslate, type Translate, english, type Untranslated } from "../texts/translate";
import { Button, classes, Dot, IconButton, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { clockOf, count } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import { parseHeaders } from "./headers";
import styles from "./sockets.module.css";
import { MAX_SHOWN, type SocketPhase, type SocketRow, talkOf } from "./talk";

export interface SocketPanelProps {
  generationId: string;
  client?: PreviewClient | undefined;
  /** WebSockets that were found in the source. */
  sockets: readonly ListedSocket[];
  /** The path to begin with. */
  path: string;
  onPath: (path: string) => void;
  /** Why nothing can be sent; null if it can. */
  unavailable: string | null;
}

const PHASES: Record<SocketPhase, { word: Untranslated; tone: "good" | "busy" | "idle" }> = {
  closed: { word: english("Not connected"), tone: "idle" },
  connecting: { word: english("Connecting…"), tone: "busy" },
  open: { word: english("Connected"), tone: "good" },
};

/** A WebSocket of the preview: connect, send messages, and read those that come. */
export function SocketPanel(props: SocketPanelProps): ReactNode {
  const t = useTranslate();
  const { generationId, sockets, path, unavailable } = props;
  const client = usePreviewClient(props.client);
  const talk = talkOf(client, generationId);
  useEffect(() => {
    talk.speak(t);
  }, [talk, t]);
  const state = useSyncExternalStore(talk.subscribe, () => talk.state);
  const [headers, setHeaders] = useState("");
  const [protocols, setProtocols] = useState("");
  const [wrong, setWrong] = useState<string | null>(null);
  const isOpen = state.phase === "open";
  const connect = (event: SubmitEvent): void => {
    event.preventDefault();
    if (state.phase !== "closed") {
      talk.close();
      return;
    }
    const fields = parseHeaders(t, headers);
    const problem = !path.startsWith("/")
      ? t("Start the path with a slash.")
      : typeof fields === "string"
        ? fields
        : null;
    setWrong(problem);
    if (problem !== null || typeof fields === "string") return;
    const asked = protocols.split(",").map((one) => one.trim());
    talk.connect(client, generationId, { path, headers: fields, protocols: asked.filter(Boolean) });
  };
  return (
    <div className={panel.view}>
      <form className={styles.connect} onSubmit={connect}>
        <input
          className={classes(controls.field, styles.path)}
          aria-label={t("Path of the WebSocket")}
          list="pv-sockets"
          placeholder="/ws"
          spellCheck={false}
          value={path}
          disabled={state.phase !== "closed"}
          onChange={(event) => props.onPath(event.target.value)}
        />
        <datalist id="pv-sockets">
          {sockets.map((one) => (
            <option key={one.path} value={one.path} />
          ))}
        </datalist>
        <Button
          kind={state.phase === "closed" ? "primary" : "danger"}
          type="submit"
          disabled={state.phase === "closed" && unavailable !== null}
        >
          {state.phase === "closed" ? t("Connect") : t("Disconnect")}
        </Button>
        <span className={styles.phase} role="status">
          <Dot tone={PHASES[state.phase].tone} /> {t(PHASES[state.phase].word)}
        </span>
      </form>
      <details className={styles.more}>
        <summary>{t("Headers and subprotocols")}</summary>
        <label>
          {t("Headers, one per line")}
          <textarea
            className={controls.field}
            rows={2}
            placeholder="Authorization: Bearer …"
            spellCheck={false}
            value={headers}
            onChange={(event) => setHeaders(event.target.value)}
          />
        </label>
        <label>
          {t("Subprotocols, comma-separated")}
          <input
            className={controls.field}
            placeholder="graphql-transport-ws"
            value={protocols}
            onChange={(event) => setProtocols(event.target.value)}
          />
        </label>
      </details>
      {sockets.some((one) => one.protocol === "socket.io" && one.path === path) && (
        <p className={panel.hint}>
          {t(
            "Socket.IO has its own message format on top of WebSocket. Use its client; here you see the raw messages.",
          )}
        </p>
      )}
      {(wrong ?? unavailable) !== null && (
        <div className={panel.pad}>
          <Notice tone={wrong === null ? "info" : "bad"} role={wrong === null ? "status" : "alert"}>
            {wrong ?? unavailable}
          </Notice>
        </div>
      )}
      <Messages rows={state.rows} dropped={state.dropped} onClear={() => talk.clear()} />
      <Composer isOpen={isOpen} onSend={(text) => talk.send(text)} />
    </div>
  );
}

interface MessagesProps {
  rows: readonly SocketRow[];
  dropped: number;
  onClear: () => void;
}

/** The messages, the newest last and in sight, unless the person has scrolled up. */
function Messages({ rows, dropped, onClear }: MessagesProps): ReactNode {
  const t = useTranslate();
  const list = useRef<HTMLOListElement>(null);
  const isAtEnd = useRef(true);
  useEffect(() => {
    if (list.current && isAtEnd.current) list.current.scrollTop = list.current.scrollHeight;
  }, [rows]);
  if (rows.length === 0) return <p className={classes(panel.none, styles.empty)}>{t("Messages appear here.")}</p>;
  const messages = rows.filter((one) => one.kind !== "note").length;
  return (
    <>
      <div className={styles.head}>
        <span className={panel.fact}>
          {count(t, messages, "{count} message", "{count} messages")}
          {dropped > 0 && t("; the oldest {dropped} are no longer kept", { dropped: dropped.toLocaleString("en") })}
        </span>
        <IconButton icon="clear" label={t("Clear the messages")} onClick={onClear} />
      </div>
      <ol
        ref={list}
        className={styles.messages}
        tabIndex={0}
        aria-label={t("Messages")}
        onScroll={({ currentTarget: at }) => {
          isAtEnd.current = at.scrollHeight - at.scrollTop - at.clientHeight < 30;
        }}
      >
        {rows.map((one) => (
          <Row key={one.id} row={one} />
        ))}
      </ol>
    </>
  );
}

const ARROWS = { sent: ["↑", english("Sent")], received: ["↓", english("Received")], note: ["", null] } as const;

function Row({ row }: { row: SocketRow }): ReactNode {
  const t = useTranslate();
  const [arrow, word] = ARROWS[row.kind];
  const shown = prettied(row.text.slice(0, MAX_SHOWN), row);
  return (
    <li data-kind={row.kind} data-bad={row.isBad === true}>
      <time dateTime={new Date(row.at).toISOString()}>{clockOf(row.at)}</time>
      {word && (
        <span className={styles.arrow}>
          <span aria-hidden="true">{arrow}</span>
          <span className={controls.hidden}>{t(word)}: </span>
        </span>
      )}
      <span className={styles.text}>
        {row.isBinary && <span className={panel.badge}>{t("binary, base64")}</span>} {visible(shown)}
        {row.text.length > MAX_SHOWN &&
          t(" … and {text}", {
            text: count(t, row.text.length - MAX_SHOWN, "{count} more character", "{count} more characters"),
          })}
      </span>
    </li>
  );
}

/** Long JSON is easier to read over several lines. */
function prettied(text: string, { kind, isBinary }: SocketRow): string {
  if (kind === "note" || isBinary || text.length < 60 || !/^[[{]/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The message to send. Enter sends it; Shift+Enter begins a new line. */
function Composer({ isOpen, onSend }: { isOpen: boolean; onSend: (text: string) => void }): ReactNode {
  const t = useTranslate();
  const [text, setText] = useState("");
  const [isJson, setJson] = useState(false);
  const wrong = isJson ? jsonProblem(t, text) : null;
  const canSend = isOpen && text !== "" && wrong === null;
  const send = (): void => {
    if (!canSend) return;
    onSend(text);
    setText("");
  };
  return (
    <form
      className={styles.composer}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        className={controls.field}
        aria-label={t("Message")}
        rows={2}
        placeholder={isOpen ? t("Message (Enter sends it)") : t("Connect to send messages")}
        disabled={!isOpen}
        spellCheck={false}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      <div className={styles.send}>
        <label className={panel.check}>
          <input type="checkbox" checked={isJson} onChange={(event) => setJson(event.target.checked)} />{" "}
          {t("Check as JSON")}
        </label>
        <span className={styles.bad} role="status">
          {text !== "" && wrong}
        </span>
        <Button kind="primary" icon="send" type="submit" disabled={!canSend}>
          {t("Send")}
        </Button>
      </div>
    </form>
  );
}

function jsonProblem(t: Translate, text: string): string | null {
  try {
    JSON.parse(text);
    return null;
  } catch {
    return t("This is not valid JSON.");
  }
}
