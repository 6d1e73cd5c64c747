import { type ReactNode, useMemo, useState } from "react";

import type { ProxyResponse } from "../api/types";
import { useTranslate } from "../texts/translate";
import { Button, CopyButton, saveFile } from "../ui/controls";
import { bytes, milliseconds } from "../ui/format";
import { News } from "../ui/News";
import { tabLabel, Tabs } from "../ui/Tabs";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import panel from "../ui/panel.module.css";
import { type Content, contentOf, sizeOf, tokenIn } from "./answer";
import { JsonTree, type UseValue } from "./JsonTree";
import { NewVariable } from "../variables/NewVariable";
import type { Variables } from "../variables/useVariables";
import answerStyles from "./answer.module.css";

type Part = "body" | "raw" | "headers";

interface AnswerProps {
  /** The request that it answers: method and address. */
  name: string;
  answer: ProxyResponse;
  /** Called to send a token of the response with later requests. */
  onToken?: ((token: string) => void) | undefined;
  /** Called to show why a request failed at the server. */
  onWhy?: ((requestId: string) => Promise<void>) | undefined;
  /** Where values of the response can be kept. */
  variables?: Variables | null;
}

/** A preview's answer: how it went, its body in the form that suits it, its headers. */
export function Answer({ name, answer, onToken, onWhy, variables }: AnswerProps): ReactNode {
  const t = useTranslate();
  const [tab, setTab] = useState<Part>("body");
  const content = useMemo(() => contentOf(t, answer), [answer, t]);
  const why = useAction();
  const [kept, setKept] = useState<{ from: string; value: string } | null>(null);
  const ask = (requestId: string): void =>
    void why.run(t("Looking for the failure…"), async () => {
      await onWhy?.(requestId);
      return undefined;
    });
  const token = content.kind === "json" ? tokenIn(content.value) : null;
  const headers = Object.entries(answer.headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, one] as const),
  );
  const hasRaw = content.kind === "json" || content.kind === "html";
  const shown = tab === "raw" && !hasRaw ? "body" : tab;
  const tabs: [Part, string][] = [["body", content.kind === "html" ? t("Page") : t("Body")]];
  if (hasRaw) tabs.push(["raw", t("Source")]);
  tabs.push(["headers", t("Headers ({headers})", { headers: headers.length })]);
  return (
    <section className={answerStyles.answer} aria-label={t("Response")}>
      <div className={answerStyles.answerHead}>
        <span className={answerStyles.status} data-class={Math.floor(answer.status_code / 100)}>
          {answer.status_code} {REASONS[answer.status_code] ?? ""}
        </span>
        <span className={panel.fact}>{milliseconds(answer.elapsed_ms)}</span>
        <span className={panel.fact}>{bytes(sizeOf(answer))}</span>
        <code className={answerStyles.answerTo} title={name}>
          {name}
        </code>
        {onWhy && answer.status_code >= 500 && answer.request_id !== undefined && (
          <Button small icon="bug" disabled={why.busy !== null} onClick={() => ask(answer.request_id ?? "")}>
            {t("Why?")}
          </Button>
        )}
        {onToken && token !== null && (
          <Button small onClick={() => onToken(token)}>
            {t("Use this token")}
          </Button>
        )}
        {content.kind !== "empty" && content.kind !== "binary" && (
          <CopyButton text={answer.body} label={t("Copy the body")} />
        )}
      </div>
      <News action={why} />
      {kept && variables && (
        <NewVariable
          key={`${kept.from} ${kept.value}`}
          from={kept.from}
          value={kept.value}
          variables={variables}
          onDone={() => setKept(null)}
        />
      )}
      {answer.cut && (
        <p className={answerStyles.cut} role="status">
          {visible(answer.cut)}
        </p>
      )}
      <Tabs label={t("Parts of the response")} tabs={tabs} tab={shown} onTab={setTab} />
      <div className={answerStyles.answerBody} role="tabpanel" aria-label={tabLabel(tabs, shown)}>
        {shown === "body" && (
          <Body content={content} onUse={variables ? (from, value) => setKept({ from, value }) : undefined} />
        )}
        {shown === "raw" && (
          <pre className={answerStyles.raw} tabIndex={0}>
            {visible(pretty(content))}
          </pre>
        )}
        {shown === "headers" && (
          <dl className={answerStyles.headers}>
            {headers.map(([name, value], at) => (
              <div key={at}>
                <dt>{visible(name)}</dt>
                <dd>{visible(value)}</dd>
              </div>
            ))}
          </dl>
        )}
      </div>
    </section>
  );
}

/** A body in the form that suits it. */
export function Body({ content, onUse }: { content: Content; onUse?: UseValue | undefined }): ReactNode {
  const t = useTranslate();
  switch (content.kind) {
    case "empty":
      return <p className={panel.none}>{t("The response has no body.")}</p>;
    case "json":
      return <JsonTree value={content.value} onUse={onUse} />;
    case "image":
      return <img className={answerStyles.image} src={content.address} alt={t("The response")} />;
    case "html":
      // No scripts, no origin, no way to another address: it is looked at, and does nothing.
      return (
        <iframe className={answerStyles.frame} sandbox="" srcDoc={content.text} title={t("The response as a page")} />
      );
    case "text":
      return (
        <>
          {content.note !== undefined && <p className={panel.none}>{content.note}</p>}
          <pre className={answerStyles.raw} tabIndex={0}>
            {visible(content.text)}
          </pre>
        </>
      );
    case "binary":
      return (
        <p className={panel.none}>
          {t("Binary response.")}{" "}
          <Button
            small
            icon="download"
            onClick={() => saveFile("answer.bin", [content.bytes], "application/octet-stream")}
          >
            {t("Save {bytes}", { bytes: bytes(content.bytes.length) })}
          </Button>
        </p>
      );
  }
}

function pretty(content: Content): string {
  if (content.kind === "json") return JSON.stringify(content.value, null, 2);
  return "text" in content ? content.text : "";
}

export const REASONS: Record<number, string> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};
