import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../../api/client";
import { changeFlag, type FlagContent, listFlags } from "../../api/flags";
import { Button, Notice } from "../../ui/controls";
import { News } from "../../ui/News";
import { useAction } from "../../ui/useAction";
import { useLoad } from "../../ui/useLoad";
import { type Change, ChangeQuestion } from "./ChangeQuestion";
import { FlagCard } from "./FlagCard";
import { FlagHistory } from "./FlagHistory";
import styles from "./flags.module.css";
import { LaunchSwitch } from "./LaunchSwitch";
import { FLAG_WORDS } from "./words";

/** Flags of the service, for operators: who gets which isolation, start and capability; the kill switch; each change. */
export function FlagsView({ client }: { client: PreviewClient }): ReactNode {
  const flags = useLoad("flags", (signal) => listFlags(client, signal));
  const [asked, setAsked] = useState<Change | null>(null);
  const [round, setRound] = useState(0);
  const action = useAction();
  const refresh = (): void => {
    flags.refresh();
    setRound((before) => before + 1);
  };
  const change = ({ flag }: Change, content: FlagContent): void =>
    void action.run("Changing the flag…", async () => {
      try {
        const changed = await changeFlag(client, flag, content);
        flags.put((all) => all.map((one) => (one.name === changed.name ? changed : one)));
        return `“${FLAG_WORDS[flag.name]?.[0] ?? flag.name}” is changed. It applies from the next launch or request.`;
      } finally {
        // Also after a refusal: another operator may have been faster.
        refresh();
      }
    });
  const launches = flags.value?.find((one) => one.name === "launches");
  const isBusy = action.busy !== null;
  return (
    <div className={styles.flags}>
      {flags.problem && (
        <Notice tone="bad" role="alert">
          {flags.problem.message}
        </Notice>
      )}
      {!flags.value && !flags.problem && (
        <p className={styles.muted} role="status">
          Loading…
        </p>
      )}
      <News action={action} />
      {launches && <LaunchSwitch flag={launches} isBusy={isBusy} onAsk={setAsked} />}
      <p className={styles.muted}>
        Flags change a setting for all users or for some, without a restart. The first matching rule applies. Running
        previews keep their settings.
      </p>
      {flags.value?.map((one) => (
        <FlagCard key={one.name} client={client} flag={one} isBusy={isBusy} onAsk={setAsked} />
      ))}
      <FlagHistory key={round} client={client} />
      <div>
        <Button small icon="restart" onClick={refresh}>
          Refresh
        </Button>
      </div>
      {asked && (
        <ChangeQuestion
          client={client}
          change={asked}
          onClose={() => setAsked(null)}
          onYes={(content) => change(asked, content)}
        />
      )}
    </div>
  );
}
