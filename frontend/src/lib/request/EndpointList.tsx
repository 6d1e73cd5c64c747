import { type ReactNode, useId, useState } from "react";

import type { Endpoint, EndpointListing, EndpointSource, ListedSocket } from "../api/types";
import { useTranslate, english, type Untranslated } from "../texts/translate";
import { count } from "../ui/format";
import { visible } from "../ui/visible";
import { IconButton } from "../ui/controls";
import controls from "../ui/controls.module.css";
import panel from "../ui/panel.module.css";
import { EndpointDoc } from "./EndpointDoc";
import endpointStyles from "./endpoints.module.css";

interface EndpointListProps {
  listing: EndpointListing;
  onPick: (endpoint: Endpoint) => void;
  onSocket: (path: string) => void;
}

const SOURCES: Record<EndpointSource, { label: Untranslated; title: Untranslated }> = {
  static: { label: english("source"), title: english("Read from the source files") },
  openapi: { label: english("OpenAPI"), title: english("Listed in the OpenAPI document of the running preview") },
  application: { label: english("routes"), title: english("In the route table of the running application") },
};

/** The endpoints, by their tags, with a search over method, path and words. */
export function EndpointList({ listing, onPick, onSocket }: EndpointListProps): ReactNode {
  const t = useTranslate();
  const { endpoints } = listing;
  const [text, setText] = useState("");
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = endpoints.filter((one) => {
    const all = `${one.method} ${one.path} ${one.summary} ${one.description} ${one.tags.join(" ")}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
  const sockets = listing.sockets.filter((one) => words.every((word) => `ws websocket ${one.path}`.includes(word)));
  const groups = new Map<string, Endpoint[]>();
  for (const one of shown) {
    const tag = one.tags[0] ?? "";
    groups.set(tag, [...(groups.get(tag) ?? []), one]);
  }
  return (
    <div className={endpointStyles.list}>
      <div className={endpointStyles.listSearch}>
        <input
          type="search"
          className={controls.field}
          placeholder={t("Search {endpoints}", {
            endpoints: count(t, endpoints.length, "{count} endpoint", "{count} endpoints"),
          })}
          aria-label={t("Search the endpoints")}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </div>
      <div className={endpointStyles.listScroll}>
        <Unread listing={listing} />
        {shown.length === 0 && sockets.length === 0 && (
          <p className={panel.none}>{t("No endpoint contains “{text}”.", { text })}</p>
        )}
        {[...groups].map(([tag, ones]) => (
          <section key={tag} aria-label={tag || t("Endpoints")}>
            {tag && <h3 className={endpointStyles.tag}>{visible(tag)}</h3>}
            <ul className={endpointStyles.endpoints}>
              {ones.map((one) => (
                <Item key={`${one.method} ${one.path}`} endpoint={one}>
                  <button
                    type="button"
                    className={endpointStyles.endpoint}
                    onClick={() => onPick(one)}
                    title={visible(one.description || one.summary)}
                  >
                    <Method method={one.method} />
                    <span className={endpointStyles.path}>{visible(one.path)}</span>
                    <span
                      className={endpointStyles.origin}
                      title={
                        one.file
                          ? `${one.file}:${one.line ?? 1}. ${t(SOURCES[one.source].title)}`
                          : t(SOURCES[one.source].title)
                      }
                    >
                      {t(SOURCES[one.source].label)}
                    </span>
                    <span className={endpointStyles.summary}>{visible(usefulSummary(one))}</span>
                  </button>
                </Item>
              ))}
            </ul>
          </section>
        ))}
        {sockets.length > 0 && <Sockets sockets={sockets} onSocket={onSocket} />}
      </div>
    </div>
  );
}

/** A row, and below it what is known of the endpoint once a person asks. */
function Item({ endpoint, children }: { endpoint: Endpoint; children: ReactNode }): ReactNode {
  const t = useTranslate();
  const [isOpen, setOpen] = useState(false);
  const id = useId();
  return (
    <li>
      <div className={endpointStyles.item}>
        {children}
        <span id={id} hidden>
          {endpoint.method} {visible(endpoint.path)}
        </span>
        <IconButton
          icon="info"
          label={t("Description")}
          aria-describedby={id}
          aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}
        />
      </div>
      {isOpen && <EndpointDoc endpoint={endpoint} summary={usefulSummary(endpoint)} />}
    </li>
  );
}

function Sockets(props: { sockets: readonly ListedSocket[]; onSocket: (path: string) => void }): ReactNode {
  const t = useTranslate();
  return (
    <section aria-label={t("WebSockets")}>
      <h3 className={endpointStyles.tag}>{t("WebSockets")}</h3>
      <ul className={endpointStyles.endpoints}>
        {props.sockets.map((one) => (
          <li key={one.path}>
            <button type="button" className={endpointStyles.endpoint} onClick={() => props.onSocket(one.path)}>
              <Method method="WS" />
              <span className={endpointStyles.path}>{visible(one.path)}</span>
              <span className={endpointStyles.origin} title={one.file ? `${one.file}:${one.line ?? 1}` : undefined}>
                {one.protocol === "socket.io" ? "Socket.IO" : t("source")}
              </span>
              <span className={endpointStyles.summary}>{visible(one.summary)}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The summary; nothing if it only repeats the method and the path ("Get Item" of GET /items/{id}). */
export function usefulSummary({ method, path, summary }: Pick<Endpoint, "method" | "path" | "summary">): string {
  const wordsOf = (text: string): string[] => text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  const known = new Set([...wordsOf(path), method.toLowerCase(), ...REPEATED]);
  return wordsOf(summary).every((word) => known.has(word) || known.has(`${word}s`)) ? "" : summary;
}

const REPEATED = [
  "root",
  "index",
  "get",
  "read",
  "list",
  "create",
  "update",
  "delete",
  "add",
  "post",
  "put",
  "patch",
  "by",
];

/** Says that the list may lack endpoints, and why; nothing for a complete list. */
export function Unread({ listing }: { listing: EndpointListing }): ReactNode {
  const t = useTranslate();
  if (listing.complete) return null;
  return (
    <details className={endpointStyles.unread}>
      <summary>
        {t("There may be more endpoints: {unread} could not be read", {
          unread: count(t, listing.unread.length, "{count} part", "{count} parts"),
        })}
      </summary>
      <ul>
        {listing.unread.map((sentence) => (
          <li key={sentence}>{visible(sentence)}</li>
        ))}
      </ul>
    </details>
  );
}

export function Method({ method }: { method: string }): ReactNode {
  return (
    <span className={endpointStyles.method} data-method={method}>
      {method}
    </span>
  );
}
