import { type ReactNode, useState } from "react";

import type { Endpoint } from "../api/types";
import { count } from "../ui/format";
import { visible } from "../ui/visible";
import controls from "../ui/controls.module.css";
import styles from "./request.module.css";

interface EndpointListProps {
  endpoints: readonly Endpoint[];
  onPick: (endpoint: Endpoint) => void;
}

/** The endpoints, by their tags, with a search over method, path and words. */
export function EndpointList({ endpoints, onPick }: EndpointListProps): ReactNode {
  const [text, setText] = useState("");
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = endpoints.filter((one) => {
    const all = `${one.method} ${one.path} ${one.summary} ${one.description} ${one.tags.join(" ")}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
  const groups = new Map<string, Endpoint[]>();
  for (const one of shown) {
    const tag = one.tags[0] ?? "";
    groups.set(tag, [...(groups.get(tag) ?? []), one]);
  }
  return (
    <div className={styles.list}>
      <div className={styles.listSearch}>
        <input
          type="search"
          className={controls.field}
          placeholder={`Search ${count(endpoints.length, "endpoint")}`}
          aria-label="Search the endpoints"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </div>
      <div className={styles.listScroll}>
        {shown.length === 0 && <p className={styles.none}>No endpoint has “{text}”.</p>}
        {[...groups].map(([tag, ones]) => (
          <section key={tag} aria-label={tag || "Endpoints"}>
            {tag && <h3 className={styles.tag}>{visible(tag)}</h3>}
            <ul className={styles.endpoints}>
              {ones.map((one) => (
                <li key={`${one.method} ${one.path}`}>
                  <button
                    type="button"
                    className={styles.endpoint}
                    onClick={() => onPick(one)}
                    title={visible(one.description || one.summary)}
                  >
                    <Method method={one.method} />
                    <span className={styles.path}>{visible(one.path)}</span>
                    <span className={styles.summary}>{visible(one.summary)}</span>
                  </button>
                </li>
              ))}
            </ul>
          </section>
        ))}
      </div>
    </div>
  );
}

export function Method({ method }: { method: string }): ReactNode {
  return (
    <span className={styles.method} data-method={method}>
      {method}
    </span>
  );
}
