import type { ReactNode } from "react";

import type { Snapshot } from "../api/data";
import { useTranslate } from "../texts/translate";
import { Button, IconButton } from "../ui/controls";
import { ago, bytes } from "../ui/format";
import { useNow } from "../ui/useNow";
import panel from "../ui/panel.module.css";
import styles from "./data.module.css";
import type { Asked } from "./Question";
import { originOf, partsOf, timeOf, titleOf } from "./words";

interface SnapshotListProps {
  /** Null while it is not known. */
  list: readonly Snapshot[] | null;
  /** Whether the list, or an action, failed; the reason is shown elsewhere. */
  isFailed: boolean;
  isBusy: boolean;
  isRunning: boolean;
  onAsk: (asked: Asked) => void;
  onCompare: (snapshot: Snapshot) => void;
}

/** The snapshots, newest first, each with its actions. */
export function SnapshotList(props: SnapshotListProps): ReactNode {
  const t = useTranslate();
  const { list, isRunning } = props;
  const now = useNow(30_000);
  if (list === null) return !props.isFailed && <p className={panel.none}>{t("Looking for snapshots…")}</p>;
  if (list.length === 0)
    return (
      <p className={panel.none}>
        {isRunning
          ? t("No snapshots. Save one before a change, and restore it when you want the data back.")
          : t("No snapshots.")}
      </p>
    );
  return (
    <ul className={styles.snapshots} aria-label={t("Snapshots")}>
      {list.map((one) => (
        <SnapshotRow key={one.id} snapshot={one} now={now} canCompare={isRunning || list.length > 1} {...props} />
      ))}
    </ul>
  );
}

interface SnapshotRowProps extends SnapshotListProps {
  snapshot: Snapshot;
  now: number;
  canCompare: boolean;
}

function SnapshotRow({ snapshot, now, canCompare, ...props }: SnapshotRowProps): ReactNode {
  const t = useTranslate();
  const title = titleOf(t, snapshot);
  const origin = originOf(t, snapshot);
  const button = (word: string, act: () => void): ReactNode => (
    <Button small aria-label={`${word} ${title}`} disabled={props.isBusy} onClick={act}>
      {word}
    </Button>
  );
  return (
    <li>
      <span className={styles.snapshotName}>
        {title}
        {origin !== null && <small>{origin}</small>}
      </span>
      <span className={panel.fact}>
        <span title={`SHA-256: ${snapshot.sha256}`}>{bytes(snapshot.size_bytes)}</span> ·{" "}
        <time dateTime={snapshot.created_at} title={timeOf(snapshot)}>
          {ago(t, snapshot.created_at, now)}
        </time>
        {snapshot.parts.length > 0 && ` · ${partsOf(t, snapshot)}`}
      </span>
      <span className={styles.rowActions}>
        {props.isRunning && button(t("Restore"), () => props.onAsk({ kind: "restore", snapshot }))}
        {canCompare && button(t("Compare"), () => props.onCompare(snapshot))}
        {button(t("Fork"), () => props.onAsk({ kind: "fork", snapshot }))}
        <span className={panel.spring} />
        <IconButton
          icon="clear"
          label={t("Delete {title}", { title })}
          disabled={props.isBusy}
          onClick={() => props.onAsk({ kind: "delete", snapshot })}
        />
      </span>
    </li>
  );
}
