import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import type { Snapshot } from "../api/data";
import { useTranslate } from "../texts/translate";
import { Button, IconButton, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { ago } from "../ui/format";
import panel from "../ui/panel.module.css";
import styles from "./data.module.css";
import { Diff } from "./Diff";
import { NOW, useDiff } from "./useDiff";
import { titleOf } from "./words";

interface CompareProps {
  client: PreviewClient;
  generationId: string;
  /** Newest first. */
  snapshots: readonly Snapshot[];
  /** The snapshot that was chosen. */
  first: Snapshot;
  isRunning: boolean;
  onBack: () => void;
}

/** The changes from one snapshot to another, or to now. */
export function Compare({ client, generationId, snapshots, first, isRunning, onBack }: CompareProps): ReactNode {
  const t = useTranslate();
  const [[from, to], choose] = useState(() => pairOf(snapshots, first, isRunning));
  const [revision, setRevision] = useState(0);
  const { diff, problem } = useDiff(client, generationId, from, to, revision);
  const optionsBeside = (other: string): ReactNode =>
    snapshots.map((one) => (
      <option key={one.id} value={one.id} disabled={one.id === other}>
        {titleOf(t, one)} ({ago(t, one.created_at)})
      </option>
    ));
  return (
    <div className={panel.scroll}>
      <div className={styles.bar}>
        <Button small autoFocus icon="left" onClick={onBack}>
          {t("Snapshots")}
        </Button>
        <h3 className={styles.name}>{t("Changes")}</h3>
        <span className={panel.spring} />
        <IconButton icon="restart" label={t("Compare again")} onClick={() => setRevision(revision + 1)} />
      </div>
      <div className={styles.sides}>
        <label>
          {t("From")}
          <select className={controls.field} value={from} onChange={(event) => choose([event.target.value, to])}>
            {optionsBeside(to)}
          </select>
        </label>
        <label>
          {t("To")}
          <select className={controls.field} value={to} onChange={(event) => choose([from, event.target.value])}>
            {isRunning && <option value={NOW}>{t("Now")}</option>}
            {optionsBeside(from)}
          </select>
        </label>
      </div>
      {problem && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            {problem.message}
          </Notice>
        </div>
      )}
      {!diff && !problem && (
        <p className={panel.none} role="status">
          {t("Comparing…")}
        </p>
      )}
      {diff && <Diff diff={diff} />}
    </div>
  );
}

/** The two sides to begin with, the older one first. */
function pairOf(snapshots: readonly Snapshot[], first: Snapshot, isRunning: boolean): [string, string] {
  if (isRunning) return [first.id, NOW];
  const at = snapshots.findIndex((one) => one.id === first.id);
  const newer = snapshots[at - 1];
  return newer ? [first.id, newer.id] : [snapshots[at + 1]?.id ?? first.id, first.id];
}
