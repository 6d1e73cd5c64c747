import { type ReactNode, useState } from "react";

import { type AuditEntry, type AuditPage, readAudit, verifyAudit } from "../api/account";
import type { PreviewClient } from "../api/client";
import { dayAndTime } from "../history/words";
import { useTranslate, type Translate } from "../texts/translate";
import { Button, Notice } from "../ui/controls";
import panel from "../ui/panel.module.css";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./account.module.css";
import { RecordTable } from "./RecordTable";

interface AuditViewProps {
  client: PreviewClient;
  /** Entries of all users, for operators; else those of the person and of others on the person's previews. */
  isOperator: boolean;
}

const TONES: Record<AuditEntry["outcome"], string> = { ok: "good", refused: "warn", failed: "bad", unknown: "info" };

/** The audit trail, newest first: who did what, from where, by which token or share, and the outcome. */
export function AuditView({ client, isOperator }: AuditViewProps): ReactNode {
  const t = useTranslate();
  const first = useLoad(`audit ${String(isOperator)}`, (signal) => readAudit(client, isOperator, null, signal));
  const [older, setOlder] = useState<AuditPage | null>(null);
  const action = useAction();
  const items = [...(first.value?.items ?? []), ...(older?.items ?? [])];
  const next = (older ?? first.value)?.next ?? null;
  const refresh = (): void => {
    setOlder(null);
    first.refresh();
  };
  const loadOlder = (): void =>
    void action.run("Loading…", async () => {
      const page = await readAudit(client, isOperator, next);
      setOlder((now) => ({ items: [...(now?.items ?? []), ...page.items], next: page.next }));
      return undefined;
    });
  const verify = (): void =>
    void action.run("Verifying the trail…", async () => {
      const { is_whole: isWhole, entries, problem } = await verifyAudit(client);
      return isWhole ? `The audit trail is intact: ${entries.toLocaleString("en")} entries.` : visible(problem ?? "");
    });
  return (
    <>
      {first.problem && (
        <Notice tone="bad" role="alert">
          {first.problem.message}
        </Notice>
      )}
      <News action={action} />
      <RecordTable
        title={isOperator ? "Audit trail" : "Your audit trail"}
        heads={["When", "Who", "Action", "Of", "Outcome", "Via", "From"]}
        rows={first.value ? items.map((one) => cellsOf(t, one)) : undefined}
      />
      <div className={styles.made}>
        <Button small icon="restart" onClick={refresh}>
          Refresh
        </Button>
        {next !== null && (
          <Button small onClick={loadOlder} disabled={action.busy !== null}>
            Older entries
          </Button>
        )}
        {isOperator && (
          <Button small onClick={verify} disabled={action.busy !== null}>
            Verify the trail
          </Button>
        )}
      </div>
    </>
  );
}

function cellsOf(t: Translate, one: AuditEntry): ReactNode[] {
  return [
    <time key="at" dateTime={one.at} title={new Date(one.at).toLocaleString()}>
      {dayAndTime(t, one.at)}
    </time>,
    visible(one.user_id),
    <span key="action" title={visible(one.detail)}>
      {visible(one.action)}
    </span>,
    visible(one.subject || one.preview_id) || "–",
    <span key="outcome" className={panel.badge} data-tone={TONES[one.outcome]}>
      {one.outcome}
    </span>,
    viaWords(one.via),
    <span key="address" className={styles.word}>
      {visible(one.address) || "–"}
    </span>,
  ];
}

/** `token token_2x4…` as the token's id alone would not say that it is one. */
function viaWords(via: string): string {
  const words: Partial<Record<string, string>> = {
    browser: "browser",
    bearer: "session token",
    service: "the service",
  };
  return words[via] ?? (visible(via.replace(/^(token|share) \1_/, "$1 ")) || "–");
}
