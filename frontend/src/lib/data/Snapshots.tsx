import { type ReactNode, type SubmitEvent, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "../api/client";
import type { Snapshot } from "../api/data";
import { useTranslate, english, type Untranslated } from "../texts/translate";
import { Button, classes, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import type { PreviewSnapshots, SnapshotAction } from "../usePreviewSnapshots";
import { Compare } from "./Compare";
import panel from "../ui/panel.module.css";
import styles from "./data.module.css";
import { Outcome } from "./Outcome";
import { Question, type Asked } from "./Question";
import { SnapshotList } from "./SnapshotList";

interface SnapshotsProps {
  client: PreviewClient;
  generationId: string;
  /** The project's name. */
  name: string;
  snapshots: PreviewSnapshots;
  isRunning: boolean;
  onShow: ((generationId: string) => void) | undefined;
}

const BUSY: Record<SnapshotAction, Untranslated> = {
  saving: english("Saving a snapshot…"),
  restoring: english("Restoring…"),
  deleting: english("Deleting…"),
  undeleting: english("Restoring the deleted snapshot…"),
  resetting: english("Resetting; the steps of the launch run again…"),
  forking: english("Forking…"),
};

/** The snapshots of a generation: save, compare, restore, fork, delete; and a reset. */
export function Snapshots({ client, generationId, name, snapshots, isRunning, onShow }: SnapshotsProps): ReactNode {
  const t = useTranslate();
  const [asked, ask] = useState<Asked | null>(null);
  const [compared, compare] = useState<Snapshot | null>(null);
  const list = useRef<HTMLDivElement>(null);
  const { outcome, busy, problem } = snapshots;
  useEffect(() => {
    // The button that had the focus was disabled, or is gone with its row.
    if ((outcome ?? problem) && document.activeElement === document.body) list.current?.focus({ preventScroll: true });
  }, [outcome, problem]);
  if (compared && snapshots.snapshots)
    return (
      <Compare
        client={client}
        generationId={generationId}
        snapshots={snapshots.snapshots}
        first={compared}
        isRunning={isRunning}
        onBack={() => compare(null)}
      />
    );
  return (
    <div className={panel.scroll}>
      {isRunning ? (
        <SaveRow snapshots={snapshots} onAsk={ask} />
      ) : (
        <p className={panel.hint}>
          {t("Launch the preview to save its data, restore a snapshot, or compare one with the current data.")}
        </p>
      )}
      {(busy ?? outcome ?? problem) && (
        <div className={panel.news}>
          {busy && <Notice role="status">{t(BUSY[busy])}</Notice>}
          {outcome && (
            <Outcome
              outcome={outcome}
              onUndo={isRunning ? (snapshot) => ask({ kind: "restore", snapshot }) : undefined}
              onUndelete={(snapshot) => void snapshots.undelete(snapshot)}
              onShow={onShow}
              onDismiss={snapshots.dismiss}
            />
          )}
          {problem && (
            <Notice
              tone="bad"
              role="alert"
              actions={
                <Button small kind="quiet" onClick={snapshots.dismiss}>
                  {t("Dismiss")}
                </Button>
              }
            >
              {problem.message}
            </Notice>
          )}
        </div>
      )}
      <div ref={list} tabIndex={-1} className={styles.focused}>
        <SnapshotList
          list={snapshots.snapshots}
          isFailed={problem !== null}
          isBusy={busy !== null}
          isRunning={isRunning}
          onAsk={ask}
          onCompare={compare}
        />
      </div>
      {asked && <Question asked={asked} name={name} snapshots={snapshots} onClose={() => ask(null)} />}
    </div>
  );
}

function SaveRow({ snapshots, onAsk }: { snapshots: PreviewSnapshots; onAsk: (asked: Asked) => void }): ReactNode {
  const t = useTranslate();
  const [name, setName] = useState("");
  const { busy } = snapshots;
  const save = (event: SubmitEvent): void => {
    event.preventDefault();
    if (busy !== null) return;
    void snapshots.save(name.trim());
    setName("");
  };
  return (
    <form className={styles.save} onSubmit={save} aria-label={t("Save a snapshot")}>
      <input
        className={classes(controls.field, panel.grow)}
        aria-label={t("Name of the snapshot (optional)")}
        placeholder={t("Name (optional)")}
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <Button kind="primary" icon="data" type="submit" disabled={busy !== null}>
        {t("Save snapshot")}
      </Button>
      <span className={styles.further}>
        <Button small disabled={busy !== null} onClick={() => onAsk({ kind: "fork", snapshot: null })}>
          {t("Fork…")}
        </Button>
        <Button small kind="danger" disabled={busy !== null} onClick={() => onAsk({ kind: "reset" })}>
          {t("Reset data…")}
        </Button>
      </span>
    </form>
  );
}
