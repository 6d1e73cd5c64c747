import { Fragment, type ReactNode } from "react";

import type { PreviewClient } from "../api/client";
import { deleteRemoved, listRemoved, restoreRemoved } from "../api/projects";
import { useTranslate } from "../texts/translate";
import { Button, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { ago } from "../ui/format";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./account.module.css";
import { RecordTable } from "./RecordTable";
import { amount } from "./UsageView";

interface RemovedViewProps {
  client: PreviewClient;
  onRestored: (generationId: string) => void;
}

/** Deleted projects, which can be restored for a while. */
export function RemovedView({ client, onRestored }: RemovedViewProps): ReactNode {
  const t = useTranslate();
  const removed = useLoad("removed", (signal) => listRemoved(client, signal));
  const action = useAction();
  const restore = (id: string, name: string): void =>
    void action.run("Restoring…", async () => {
      await restoreRemoved(client, id);
      removed.refresh();
      onRestored(id);
      return `“${name}” is restored.`;
    });
  const remove = (id: string, name: string): void =>
    void action.run("Deleting…", async () => {
      await deleteRemoved(client, id);
      removed.refresh();
      return `“${name}” is deleted for good.`;
    });
  return (
    <>
      {removed.problem && (
        <Notice tone="bad" role="alert">
          {removed.problem.message}
        </Notice>
      )}
      <News action={action} />
      {removed.value?.length === 0 && <p className={styles.muted}>Nothing was deleted recently.</p>}
      {removed.value && removed.value.length > 0 && (
        <RecordTable
          title="Deleted projects"
          heads={["Project", "Size", "Deleted", "Kept until", ""]}
          rows={removed.value.map((one) => {
            const name = visible(one.name || one.id);
            return [
              name,
              amount(one.size_bytes, "bytes"),
              ago(t, one.removed_at),
              new Date(one.expires_at).toLocaleString(),
              <Fragment key="actions">
                <Button small disabled={action.busy !== null} onClick={() => restore(one.id, name)}>
                  Restore<span className={controls.hidden}> {name}</span>
                </Button>{" "}
                <Button small kind="quiet" disabled={action.busy !== null} onClick={() => remove(one.id, name)}>
                  Delete now<span className={controls.hidden}>: {name}</span>
                </Button>
              </Fragment>,
            ];
          })}
        />
      )}
    </>
  );
}
