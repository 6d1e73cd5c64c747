import type { ReactNode } from "react";

import type { Snapshot } from "../api/data";
import { Button, Notice } from "../ui/controls";
import { milliseconds } from "../ui/format";
import { visible } from "../ui/visible";
import type { SnapshotOutcome } from "../usePreviewSnapshots";
import styles from "./data.module.css";
import { titleOf } from "./words";

interface OutcomeProps {
  outcome: SnapshotOutcome;
  /** Undefined where nothing can be restored now. */
  onUndo: ((snapshot: Snapshot) => void) | undefined;
  onUndelete: (snapshot: Snapshot) => void;
  onShow: ((generationId: string) => void) | undefined;
  onDismiss: () => void;
}

/** The result of an action, and the way back. */
export function Outcome({ outcome, onUndo, onUndelete, onShow, onDismiss }: OutcomeProps): ReactNode {
  const before = outcome.kind === "restored" || outcome.kind === "reset" ? outcome.before : null;
  return (
    <Notice
      role="status"
      actions={
        <span className={styles.rowActions}>
          {before && onUndo && (
            <Button small onClick={() => onUndo(before)}>
              Undo…
            </Button>
          )}
          {outcome.kind === "deleted" && (
            <Button small onClick={() => onUndelete(outcome.snapshot)}>
              Undo
            </Button>
          )}
          {outcome.kind === "forked" && onShow && (
            <Button small onClick={() => onShow(outcome.generation.id)}>
              Show it
            </Button>
          )}
          <Button small kind="quiet" onClick={onDismiss}>
            Dismiss
          </Button>
        </span>
      }
    >
      {sentenceOf(outcome)}
      {before && ` To undo this, restore “${titleOf(before)}”.`}
    </Notice>
  );
}

function sentenceOf(outcome: SnapshotOutcome): string {
  switch (outcome.kind) {
    case "saved":
      return `Saved “${titleOf(outcome.snapshot)}”.`;
    case "restored":
      return `Restored “${titleOf(outcome.snapshot)}” in ${milliseconds(outcome.elapsed_ms)}.`;
    case "reset":
      return `The data was reset in ${milliseconds(outcome.elapsed_ms)}.`;
    case "deleted":
      return `Deleted “${titleOf(outcome.snapshot)}”.`;
    case "undeleted":
      return `“${titleOf(outcome.snapshot)}” is back.`;
    case "forked":
      return `“${visible(outcome.generation.name)}” is a new project with this data. Launch it to use it.`;
  }
}
