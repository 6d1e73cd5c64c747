import { type ReactNode, useState } from "react";

import { type OperatorPreview, type OperatorPreviewPage, operatorPreviews } from "../api/account";
import type { PreviewClient } from "../api/client";
import { useTranslate } from "../texts/translate";
import { Button, IconButton } from "../ui/controls";
import { ago } from "../ui/format";
import type { Action } from "../ui/useAction";
import { visible } from "../ui/visible";
import styles from "./account.module.css";
import { RecordTable } from "./RecordTable";
import { amount } from "./UsageView";

interface LivePreviewsViewProps {
  client: PreviewClient;
  isCluster: boolean;
  /** Null until the first answer. */
  first: OperatorPreviewPage | null;
  action: Action;
  onStop: (preview: OperatorPreview) => void;
}

const WAITING: Partial<Record<OperatorPreview["placement"], string>> = {
  queued: "waits for a node",
  lost: "node lost",
};

/** The live previews of all users and nodes, oldest first, a page at a time. */
export function LivePreviewsView({ client, isCluster, first, action, onStop }: LivePreviewsViewProps): ReactNode {
  const t = useTranslate();
  // Later pages, and the first page that they follow: another first page starts again.
  const [later, setLater] = useState<{ of: OperatorPreviewPage; page: OperatorPreviewPage } | null>(null);
  const more = later !== null && later.of === first ? later.page : null;
  const items = first && [...first.items, ...(more?.items ?? [])];
  const next = (more ?? first)?.next ?? null;
  const loadMore = (of: OperatorPreviewPage): void =>
    void action.run("Loading…", async () => {
      const page = await operatorPreviews(client, next);
      setLater({ of, page: { ...page, items: [...(more?.items ?? []), ...page.items] } });
      return undefined;
    });
  return (
    <>
      <RecordTable
        title={`Live previews${isCluster ? " of all nodes" : ""}: ${first?.total ?? 0} of ${first?.limit ?? "–"}`}
        heads={["User", "Preview", ...(isCluster ? ["Node"] : []), "State", "Memory", "Age", ""]}
        rows={items?.map((one) => [
          visible(one.user_id),
          one.id,
          ...(isCluster ? [one.node === null ? "–" : visible(one.node)] : []),
          WAITING[one.placement] ?? one.status,
          amount(one.memory_bytes, "bytes"),
          ago(t, one.created_at),
          <IconButton key="stop" icon="stop" label={`Stop ${one.id}`} onClick={() => onStop(one)} />,
        ])}
      />
      {isCluster && <p className={styles.muted}>Memory is shown for previews of the node that answers only.</p>}
      {first !== null && next !== null && (
        <div className={styles.made}>
          <Button small onClick={() => loadMore(first)} disabled={action.busy !== null}>
            More previews
          </Button>
        </div>
      )}
    </>
  );
}
