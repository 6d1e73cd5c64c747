import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { listVersions, restoreVersion, type Version, type VersionList } from "../api/history";
import { Button, Notice } from "../ui/controls";
import { Ask } from "../ui/Dialog";
import { ago, count } from "../ui/format";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./history.module.css";
import { VersionChanges } from "./VersionChanges";
import { countsOf } from "./words";

interface VersionsProps {
  client: PreviewClient;
  generationId: string;
  /** Shows the log of a launch. */
  onLaunch: (previewId: string) => void;
}

const HOW: Record<Version["source"], string> = {
  push: "Uploaded",
  sync: "Synced from a folder",
  edit: "Edited",
  upload: "Files replaced",
  restore: "Rolled back",
  fork: "Forked",
};

/** The versions of the files: what each changed, roll back, and undo of that. */
export function Versions({ client, generationId, onLaunch }: VersionsProps): ReactNode {
  const versions = useLoad(generationId, (signal) => listVersions(client, generationId, signal));
  const action = useAction();
  const [open, setOpen] = useState<number | null>(null);
  const [asked, setAsked] = useState<number | null>(null);
  const [undo, setUndo] = useState<number | null>(null);
  const [older, setOlder] = useState<VersionList | null>(null);
  const items = [...(versions.value?.items ?? []), ...(older?.items ?? [])];
  const next = (older ?? versions.value)?.next ?? null;
  const refresh = (): void => {
    setOlder(null);
    versions.refresh();
  };
  const loadOlder = (): void =>
    void action.run("Loading…", async () => {
      const page = await listVersions(client, generationId, undefined, next);
      setOlder((now) => ({ ...page, items: [...(now?.items ?? []), ...page.items] }));
      return undefined;
    });
  const newest = items[0]?.number ?? 0;
  const restore = (number: number): void => {
    setUndo(null);
    void action.run("Rolling back…", async () => {
      const changed = await restoreVersion(client, generationId, number);
      refresh();
      if (changed.version === newest) return `Version ${number} has the current files: nothing to roll back.`;
      setUndo(newest);
      const { status, error } = changed.reload;
      if (status === "failed")
        return `Rolled back to version ${number}, but it does not start: ${error?.detail ?? "its log says why."} The previous version is still running.`;
      return `Rolled back to version ${number}${status === "reloaded" ? ", and reloaded" : ""}.`;
    });
  };
  return (
    <>
      {versions.problem && (
        <Notice tone="bad" role="alert" actions={<Button onClick={refresh}>Try again</Button>}>
          {versions.problem.message}
        </Notice>
      )}
      {action.problem && (
        <Notice tone="bad" role="alert">
          {action.problem.message}
        </Notice>
      )}
      {(action.busy ?? action.done) && (
        <Notice
          role="status"
          actions={
            undo !== null && action.busy === null ? <Button onClick={() => restore(undo)}>Undo</Button> : undefined
          }
        >
          {action.busy ?? action.done}
        </Notice>
      )}
      <div className={styles.bar}>
        <span>{versions.value ? count(items.length, "version") : "Loading…"}</span>
        <Button small onClick={refresh} disabled={versions.isLoading}>
          Refresh
        </Button>
      </div>
      <ul className={styles.list}>
        {items.map((one) => (
          <li key={one.number} className={styles.entry}>
            <div className={styles.entryHead}>
              <button
                type="button"
                className={styles.title}
                aria-expanded={open === one.number}
                onClick={() => setOpen(open === one.number ? null : one.number)}
              >
                Version {one.number}
                {one.number === newest && <span className={styles.mark}> current</span>}
              </button>
              <span className={styles.counts}>{countsOf(one)}</span>
              {one.number !== newest && (
                <Button small onClick={() => setAsked(one.number)} disabled={action.busy !== null}>
                  Roll back
                </Button>
              )}
            </div>
            <div className={styles.facts}>
              {HOW[one.source]} {ago(one.created_at)} by {visible(one.author)}
              {one.agent && ` (${visible(one.agent)})`}
              {one.message && `: ${visible(one.message)}`}
            </div>
            {one.failed && (
              <div className={styles.failed}>
                Does not start{one.failed.reason && `: ${visible(one.failed.reason)}`}{" "}
                <Button small onClick={() => onLaunch(one.failed?.preview_id ?? "")}>
                  {one.failed.kind === "launch" ? "Show that launch" : "Show its log"}
                </Button>
              </div>
            )}
            {open === one.number && (
              <VersionChanges client={client} generationId={generationId} version={one.number} against={null} />
            )}
          </li>
        ))}
      </ul>
      {next !== null && (
        <div className={styles.bar}>
          <Button small onClick={loadOlder} disabled={action.busy !== null}>
            Older versions
          </Button>
        </div>
      )}
      {versions.value && versions.value.oldest > 1 && (
        <p className={styles.hint}>
          Versions before {versions.value.oldest} are not kept. The limit is {versions.value.limit_versions} versions.
        </p>
      )}
      {asked !== null && (
        <Ask
          title={`Roll back to version ${asked}?`}
          action="Roll back"
          kind="primary"
          onYes={() => restore(asked)}
          onClose={() => setAsked(null)}
        >
          <p>The files are restored to version {asked}, and a running preview is reloaded. You can undo this.</p>
          <VersionChanges client={client} generationId={generationId} version={asked} against={newest} />
        </Ask>
      )}
    </>
  );
}
