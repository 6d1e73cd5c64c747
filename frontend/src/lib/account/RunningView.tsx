import type { ReactNode } from "react";

import type { PreviewClient } from "../api/client";
import { Button, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { duration } from "../ui/format";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { isActive } from "../usePreview";
import styles from "./account.module.css";

/** The previews that count against the limit, each with a button that frees its place. */
export function RunningView({ client, onStopped }: { client: PreviewClient; onStopped: () => void }): ReactNode {
  const running = useLoad("running", () => runningOf(client));
  const action = useAction();
  const stop = (generationId: string, name: string): void =>
    void action.run(`Stopping “${name}”…`, async () => {
      await client.stop(generationId);
      running.refresh();
      onStopped();
      return `“${name}” was stopped. Another preview can be launched.`;
    });
  return (
    <section aria-label="Running previews">
      <h4>Running previews</h4>
      {running.problem && (
        <Notice tone="bad" role="alert">
          {running.problem.message}
        </Notice>
      )}
      <News action={action} />
      {!running.value && !running.problem && (
        <p className={styles.muted} role="status">
          Loading…
        </p>
      )}
      {running.value?.length === 0 && <p className={styles.muted}>Nothing is running.</p>}
      <ul className={styles.running}>
        {running.value?.map(({ instance, name }) => (
          <li key={instance.id}>
            <span className={styles.runningName}>{name}</span>
            <span className={styles.muted}>
              {instance.status}, ends in {endsIn(instance.expires_at)}
            </span>
            <Button
              small
              icon="stop"
              disabled={action.busy !== null || instance.status === "stopping"}
              onClick={() => stop(instance.generation_id, name)}
            >
              Stop<span className={controls.hidden}> {name}</span>
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}

async function runningOf(client: PreviewClient) {
  // A host may keep the generations itself: then ids are all that is known.
  const [previews, generations] = await Promise.all([client.previews(), client.generations().catch(() => [])]);
  const names = new Map(generations.map((one) => [one.id, one.name]));
  return previews
    .filter((one) => isActive(one))
    .map((instance) => ({ instance, name: visible(names.get(instance.generation_id) ?? instance.generation_id) }));
}

function endsIn(moment: string): string {
  return duration(Math.max(0, (Date.parse(moment) - Date.now()) / 1_000));
}
