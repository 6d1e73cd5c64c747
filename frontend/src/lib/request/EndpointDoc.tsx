import type { ReactNode } from "react";

import type { Endpoint } from "../api/types";
import { useTranslate } from "../texts/translate";
import { visible } from "../ui/visible";
import styles from "./endpointDoc.module.css";

/** Longer text is cut off, so that a person can read it. */
const MOST_CHARS = 10_000;
const MOST_ROWS = 100;

interface EndpointDocProps {
  endpoint: Endpoint;
  /** Its summary; empty if that says nothing. */
  summary: string;
}

/** What is known of an endpoint: its words, parameters, bodies and response. */
export function EndpointDoc({ endpoint, summary }: EndpointDocProps): ReactNode {
  const t = useTranslate();
  const { description, file, line } = endpoint;
  const parameters = (endpoint.parameters ?? []).slice(0, MOST_ROWS);
  const query = parameters.length > 0 ? [] : Object.entries(endpoint.query).slice(0, MOST_ROWS);
  const bodies = endpoint.bodies ?? [];
  const credentials = endpoint.credentials ?? [];
  const hasBody = bodies.length === 0 && isKnown(endpoint.body);
  const isEmpty =
    parameters.length + query.length + bodies.length + credentials.length === 0 &&
    !hasBody &&
    !isKnown(endpoint.response);
  return (
    <div className={styles.doc}>
      {summary && <p className={styles.summary}>{visible(summary)}</p>}
      {description && description !== summary && <p className={styles.words}>{cut(description)}</p>}
      {isEmpty && !description && (
        <p className={styles.hint}>
          {t("Nothing else is known about this endpoint. A preview can describe its endpoints while it runs.")}
        </p>
      )}
      {parameters.length > 0 && (
        <Part title={t("Parameters")}>
          <div className={styles.around}>
            <table className={styles.table}>
              <tbody>
                {parameters.map((one) => (
                  <tr key={`${one.location} ${one.name}`}>
                    <th scope="row">
                      {visible(one.name)}
                      {one.required && <b title={t("required")}> *</b>}
                    </th>
                    <td>{one.location}</td>
                    <td>{visible(one.type)}</td>
                    <td>
                      {[
                        one.description,
                        one.choices.length > 0 && t("one of {choices}", { choices: one.choices.join(", ") }),
                        one.default !== null && t("default: {fallback}", { fallback: String(one.default) }),
                      ]
                        .filter((words) => typeof words === "string" && words !== "")
                        .map((words) => cut(String(words)))
                        .join(" · ")}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Part>
      )}
      {query.length > 0 && (
        <Part title={t("Query")}>
          <p className={styles.words}>{query.map(([name, type]) => `${visible(name)}: ${visible(type)}`).join("\n")}</p>
        </Part>
      )}
      {credentials.length > 0 && (
        <Part title={t("Authentication")}>
          <p className={styles.words}>{credentials.map((one) => visible(one.scheme)).join(", ")}</p>
        </Part>
      )}
      {bodies.map((one) => (
        <Part key={one.content_type} title={t("Body: {type}", { type: visible(one.content_type) })}>
          {isKnown(one.sample) && <Shape value={one.sample} />}
        </Part>
      ))}
      {hasBody && (
        <Part title={t("Body")}>
          <Shape value={endpoint.body} />
        </Part>
      )}
      {isKnown(endpoint.response) && (
        <Part title={t("Response")}>
          <Shape value={endpoint.response} />
        </Part>
      )}
      {file && (
        <p className={styles.hint}>
          {visible(file)}:{line ?? 1}
        </p>
      )}
    </div>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }): ReactNode {
  return (
    <section aria-label={title}>
      <h4 className={styles.title}>{title}</h4>
      {children}
    </section>
  );
}

/** An example, or types in the form of one. */
function Shape({ value }: { value: unknown }): ReactNode {
  return (
    <pre className={styles.shape} tabIndex={0}>
      {cut(typeof value === "string" ? value : JSON.stringify(value, null, 2))}
    </pre>
  );
}

function isKnown(value: unknown): boolean {
  return value !== null && value !== undefined && value !== "";
}

function cut(text: string): string {
  return visible(text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)}…` : text);
}
