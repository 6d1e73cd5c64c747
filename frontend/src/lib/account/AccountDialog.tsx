import { type ReactNode, useState } from "react";

import { readUsage } from "../api/account";
import { usePreviewClient } from "../context";
import { Notice } from "../ui/controls";
import { Dialog } from "../ui/Dialog";
import { Tabs } from "../ui/Tabs";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./account.module.css";
import { AuditView } from "./AuditView";
import { FlagsView } from "./flags/FlagsView";
import { OperatorView } from "./OperatorView";
import { RemovedView } from "./RemovedView";
import { RunningView } from "./RunningView";
import { TokensView } from "./TokensView";
import { UsageView } from "./UsageView";

type Part = "usage" | "tokens" | "removed" | "audit" | "operator" | "flags";

interface AccountDialogProps {
  onClose: () => void;
  /** A removed project is there again. */
  onRestored: (generationId: string) => void;
}

/** The person's account: limits and use, API tokens, deleted projects, and for operators what all users do. */
export function AccountDialog({ onClose, onRestored }: AccountDialogProps): ReactNode {
  const client = usePreviewClient();
  const usage = useLoad("usage", (signal) => readUsage(client, signal));
  const [part, setPart] = useState<Part>("usage");
  const tabs: (readonly [Part, string])[] = [
    ["usage", "Usage and limits"],
    ["tokens", "API tokens"],
    ["removed", "Deleted projects"],
    ["audit", "Audit"],
  ];
  if (usage.value?.is_operator) tabs.push(["operator", "Operator"], ["flags", "Flags"]);
  return (
    <Dialog title="Account" wide onClose={onClose}>
      <div className={styles.body}>
        {usage.value && (
          <p className={styles.muted}>
            {visible(usage.value.user_id)}, tier {usage.value.tier}
            {usage.value.isolation_minimum && `, minimum isolation: ${usage.value.isolation_minimum}`}
          </p>
        )}
        {usage.problem && (
          <Notice tone="bad" role="alert">
            {usage.problem.message}
          </Notice>
        )}
        <Tabs label="Account" tabs={tabs} tab={part} onTab={setPart} />
        {part === "usage" && (
          <>
            {usage.value ? (
              <UsageView items={usage.value.items} />
            ) : (
              !usage.problem && (
                <p className={styles.muted} role="status">
                  Loading…
                </p>
              )
            )}
            <RunningView client={client} onStopped={usage.refresh} />
          </>
        )}
        {part === "tokens" && <TokensView client={client} onChanged={usage.refresh} />}
        {part === "removed" && <RemovedView client={client} onRestored={onRestored} />}
        {part === "audit" && <AuditView client={client} isOperator={false} />}
        {part === "operator" && <OperatorView client={client} />}
        {part === "flags" && <FlagsView client={client} />}
      </div>
    </Dialog>
  );
}
