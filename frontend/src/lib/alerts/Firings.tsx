import type { ReactNode } from "react";

import type { AlertFiring, FiringPage } from "../api/alerts";
import { useTranslate, english } from "../texts/translate";
import { Button } from "../ui/controls";
import { ago, clockOf, count } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import styles from "./alerts.module.css";

/** The ways from a firing to its line and its request. */
export interface Links {
  /** The preview that the page shows: only its lines can be shown. */
  previewId: string | null;
  onShow: (seq: number) => void;
  onShowRequest: ((number: number) => void) | undefined;
}

interface FiringsProps {
  page: FiringPage;
  links: Links;
  /** Whether each says its rule. */
  hasNames?: boolean;
}

const DELIVERY = {
  none: null,
  pending: ["info", english("webhook: sending")],
  delivered: ["good", english("webhook: delivered")],
  failed: ["bad", english("webhook: failed")],
} as const;

/** Firings, newest first. */
export function Firings({ page, links, hasNames = false }: FiringsProps): ReactNode {
  const t = useTranslate();
  if (page.items.length === 0) return <p className={panel.hint}>{t("Nothing has fired yet.")}</p>;
  return (
    <>
      <ul className={panel.list}>
        {page.items.map((one) => (
          <li key={one.id} className={styles.firing}>
            <OneFiring one={one} links={links} hasName={hasNames} />
          </li>
        ))}
      </ul>
      {page.next !== null && (
        <p className={panel.hint}>{t("There are older ones; “preview alerts firings” lists them.")}</p>
      )}
    </>
  );
}

function OneFiring({ one, links, hasName }: { one: AlertFiring; links: Links; hasName: boolean }): ReactNode {
  const t = useTranslate();
  const { first_line: line, request, delivery } = one;
  const isHere = one.preview_id === links.previewId;
  const sent = DELIVERY[delivery.state];
  // A rule without a name has its condition in that place.
  const isSaid = !hasName || one.summary.startsWith(one.alert);
  const title = isSaid ? one.summary : one.alert;
  return (
    <>
      <div className={styles.firingHead}>
        <span className={styles.name}>{visible(title)}</span>
        <time className={panel.fact} dateTime={one.fired_at} title={new Date(one.fired_at).toLocaleString()}>
          {clockOf(Date.parse(one.fired_at))}, {ago(t, one.fired_at)}
        </time>
      </div>
      {!isSaid && <div className={styles.summary}>{visible(one.summary)}</div>}
      {one.suppressed > 0 && (
        <div className={styles.summary}>
          {t("It matched {suppressed} during its cool-down.", {
            suppressed: count(t, one.suppressed, "{count} more time", "{count} more times"),
          })}
        </div>
      )}
      {one.line !== null && <div className={styles.line}>{visible(one.line)}</div>}
      {delivery.problem !== null && <div className={styles.summary}>{visible(delivery.problem)}</div>}
      <div className={panel.wrap}>
        {one.test && (
          <span className={panel.badge} data-tone="info">
            {t("test")}
          </span>
        )}
        {sent && (
          <span className={panel.badge} data-tone={sent[0]}>
            {t(sent[1])}
          </span>
        )}
        {isHere && line !== null && (
          <Button small kind="quiet" icon="terminal" onClick={() => links.onShow(line)}>
            {t("Line {line}", { line: line.toLocaleString("en") })}
          </Button>
        )}
        {isHere && request !== null && links.onShowRequest && (
          <Button small kind="quiet" icon="send" onClick={() => links.onShowRequest?.(request)}>
            {t("Request {request}", { request: request.toLocaleString("en") })}
          </Button>
        )}
      </div>
    </>
  );
}
