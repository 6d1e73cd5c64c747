import type { ReactNode } from "react";

import type { Snapshot } from "../api/data";
import { useTranslate, type Translate } from "../texts/translate";
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
  const t = useTranslate();
  const before = outcome.kind === "restored" || outcome.kind === "reset" ? outcome.before : null;
  return (
    <Notice
      role="status"
      actions={
        <span className={styles.rowActions}>
          {before && onUndo && (
            <Button small onClick={() => onUndo(before)}>
              {t("Undo…")}
            </Button>
          )}
          {outcome.kind === "deleted" && (
            <Button small onClick={() => onUndelete(outcome.snapshot)}>
              {t("Undo")}
            </Button>
          )}
          {outcome.kind === "forked" && onShow && (
            <Button small onClick={() => onShow(outcome.generation.id)}>
              {t("Show it")}
            </Button>
          )}
          <Button small kind="quiet" onClick={onDismiss}>
            {t("Dismiss")}
          </Button>
        </span>
      }
    >
      {sentenceOf(t, outcome)}
      {before && t(" To undo this, restore “{before}”.", { before: titleOf(t, before) })}
    </Notice>
  );
}

function sentenceOf(t: Translate, outcome: SnapshotOutcome): string {
  switch (outcome.kind) {
    case "saved":
      return t("Saved “{snapshot}”.", { snapshot: titleOf(t, outcome.snapshot) });
    case "restored":
      return t("Restored “{snapshot}” in {elapsed_ms}.", {
        snapshot: titleOf(t, outcome.snapshot),
        elapsed_ms: milliseconds(outcome.elapsed_ms),
      });
    case "reset":
      return t("The data was reset in {elapsed_ms}.", { elapsed_ms: milliseconds(outcome.elapsed_ms) });
    case "deleted":
      return t("Deleted “{snapshot}”.", { snapshot: titleOf(t, outcome.snapshot) });
    case "undeleted":
      return t("Undeleted “{snapshot}”.", { snapshot: titleOf(t, outcome.snapshot) });
    case "forked":
      return t("“{name}” is a new project with this data. Launch it to use it.", {
        name: visible(outcome.generation.name),
      });
  }
}
