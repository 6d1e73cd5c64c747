import { type ReactNode, useMemo } from "react";

import type { RecordedMessage } from "../api/records";
import { contentOf } from "../request/answer";
import { Body } from "../request/Answer";
import answerStyles from "../request/answer.module.css";
import { useTranslate } from "../texts/translate";
import { CopyButton } from "../ui/controls";
import { bytes, count } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import styles from "./traffic.module.css";

/** More headers than a server sends are not drawn. */
const MOST_HEADERS = 200;

interface MessageViewProps {
  message: RecordedMessage | null;
  name: string;
  /** Whether the service knows of the request only what the application has reported. */
  isReported: boolean;
}

/** Headers and body of a recorded message. */
export function MessageView({ message, name, isReported }: MessageViewProps): ReactNode {
  const t = useTranslate();
  const content = useMemo(() => {
    if (message === null) return null;
    const headers = Object.fromEntries(message.headers.map(([key, value]) => [key.toLowerCase(), value]));
    const { body, body_encoding: encoding } = message;
    return contentOf(t, { status_code: 0, headers, body, elapsed_ms: 0, ...(encoding === "base64" && { encoding }) });
  }, [message, t]);
  if (message === null || content === null)
    return (
      <p className={panel.none}>
        {isReported
          ? t("The application reported this request; its headers and bodies did not pass through the service.")
          : t(
              "Only the metadata of this request was recorded. Switch recording to “everything” to keep headers and bodies.",
            )}
      </p>
    );
  const shown = message.headers.slice(0, MOST_HEADERS);
  return (
    <div className={styles.message}>
      <div className={panel.sectionHead}>
        <h4>{t("Body")}</h4>
        <span className={panel.fact}>{bytes(message.size_bytes)}</span>
        {message.is_cut && (
          <span className={panel.badge} data-tone="warn">
            {message.note !== null && visible(message.note)}
          </span>
        )}
        {content.kind !== "empty" && content.kind !== "binary" && (
          <CopyButton text={message.body} label={t("Copy the body of the {name}", { name })} />
        )}
      </div>
      <div className={styles.body}>
        {content.kind === "empty" ? (
          <p className={panel.hint}>{t("The {name} has no body.", { name })}</p>
        ) : (
          <Body content={content} />
        )}
      </div>
      <div className={panel.sectionHead}>
        <h4>{t("Headers ({headers})", { headers: message.headers.length.toLocaleString("en") })}</h4>
      </div>
      <dl className={answerStyles.headers}>
        {shown.map(([key, value], at) => (
          <div key={at}>
            <dt>{visible(key)}</dt>
            <dd>{visible(value)}</dd>
          </div>
        ))}
      </dl>
      {message.headers.length > shown.length && (
        <p className={panel.hint}>
          {t("And {headers}.", {
            headers: count(t, message.headers.length - shown.length, "{count} more header", "{count} more headers"),
          })}
        </p>
      )}
    </div>
  );
}
