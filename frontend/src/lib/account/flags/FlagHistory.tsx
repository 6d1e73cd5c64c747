import { type ReactNode, useState } from "react";

import type { AuditPage } from "../../api/account";
import type { PreviewClient } from "../../api/client";
import { flagChanges } from "../../api/flags";
import { dayAndTime } from "../../history/words";
import { useTranslate } from "../../texts/translate";
import { Button, Notice } from "../../ui/controls";
import { News } from "../../ui/News";
import { useAction } from "../../ui/useAction";
import { useLoad } from "../../ui/useLoad";
import { visible } from "../../ui/visible";
import { RecordTable } from "../RecordTable";
import { FLAG_WORDS } from "./words";

/** Who changed which flag, from what to what: entries of the audit trail, newest first. */
export function FlagHistory({ client }: { client: PreviewClient }): ReactNode {
  const t = useTranslate();
  const first = useLoad("changes", (signal) => flagChanges(client, null, signal));
  const [older, setOlder] = useState<AuditPage | null>(null);
  const action = useAction();
  const items = [...(first.value?.items ?? []), ...(older?.items ?? [])];
  const next = (older ?? first.value)?.next ?? null;
  const loadOlder = (): void =>
    void action.run("Loading…", async () => {
      const page = await flagChanges(client, next);
      setOlder((now) => ({ items: [...(now?.items ?? []), ...page.items], next: page.next }));
      return undefined;
    });
  return (
    <>
      {first.problem && (
        <Notice tone="bad" role="alert">
          {first.problem.message}
        </Notice>
      )}
      <RecordTable
        title="Flag changes"
        heads={["When", "Who", "Flag", "Before → after", "Outcome"]}
        rows={
          first.value
            ? items.map((one) => [
                <time key="at" dateTime={one.at}>
                  {dayAndTime(t, one.at)}
                </time>,
                visible(one.user_id),
                FLAG_WORDS[one.subject]?.[0] ?? visible(one.subject),
                changeOf(one.detail),
                one.outcome,
              ])
            : undefined
        }
      />
      <News action={action} />
      {next !== null && (
        <div>
          <Button small onClick={loadOlder} disabled={action.busy !== null}>
            Older changes
          </Button>
        </div>
      )}
    </>
  );
}

/** `PUT /api/v1/…: default to off` as `default → off`; a refused change has no such words. */
function changeOf(detail: string): string {
  const words = detail.split(": ").slice(1).join(": ");
  return visible(words).replace(" to ", " → ") || "–";
}
