import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { listVersions, restoreVersion, type Version, type VersionList } from "../api/history";
import { useTranslate, english, type Untranslated } from "../texts/translate";
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

const HOW: Record<Version["source"], Untranslated> = {
  push: english("Uploaded"),
  sync: english("Synced from a folder"),
  edit: english("Edited"),
  upload: english("Files replaced"),
  restore: english("Rolled back"),
  fork: english("Forked"),
  import: english("Imported from GitHub"),
};

/** The versions of the files: what each changed, roll back, and undo of that. */
export function Versions({ client, generationId, onLaunch }: VersionsProps): ReactNode {
  const t = useTranslate();
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
    void action.run(t("Loading…"), async () => {
      const page = await listVersions(client, generationId, undefined, next);
      setOlder((now) => ({ ...page, items: [...(now?.items ?? []), ...page.items] }));
      return undefined;
    });
  const newest = items[0]?.number ?? 0;
  const restore = (number: number): void => {
    setUndo(null);
    void action.run(t("Rolling back…"), async () => {
      const changed = await restoreVersion(client, generationId, number);
      refresh();
      if (changed.version === newest)
        return t("Version {number} has the current files: nothing to roll back.", { number });
      setUndo(newest);
      const { status, error } = changed.reload;
      if (status === "failed")
        return t(
          "Rolled back to version {number}, but it does not start: {detail} The previous version is still running.",
          { number, detail: error?.detail ?? t("its log says why.") },
        );
      return t("Rolled back to version {number}{more}.", {
        number,
        more: status === "reloaded" ? t(", and reloaded") : "",
      });
    });
  };
  return (
    <>
      {versions.problem && (
        <Notice tone="bad" role="alert" actions={<Button onClick={refresh}>{t("Try again")}</Button>}>
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
            undo !== null && action.busy === null ? (
              <Button onClick={() => restore(undo)}>{t("Undo")}</Button>
            ) : undefined
          }
        >
          {action.busy ?? action.done}
        </Notice>
      )}
      <div className={styles.bar}>
        <span>
          {versions.value
            ? count(t, items.length, "{count} version", "{count} versions")
            : !versions.problem && t("Loading…")}
        </span>
        <Button small onClick={refresh} disabled={versions.isLoading}>
          {t("Refresh")}
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
                {t("Version {number}", { number: one.number })}
                {one.number === newest && <span className={styles.mark}> {t("current")}</span>}
              </button>
              <span className={styles.counts}>{countsOf(t, one)}</span>
              {one.number !== newest && (
                <Button small onClick={() => setAsked(one.number)} disabled={action.busy !== null}>
                  {t("Roll back")}
                </Button>
              )}
            </div>
            <div className={styles.facts}>
              {t("{HOW} {created_at} by {author}{agent}{message}", {
                HOW: t(HOW[one.source]),
                created_at: ago(t, one.created_at),
                author: visible(one.author),
                agent: one.agent && ` (${visible(one.agent)})`,
                message: one.message && `: ${visible(one.message)}`,
              })}
            </div>
            {one.failed && (
              <div className={styles.failed}>
                {t("Does not start{reason}", { reason: one.failed.reason && `: ${visible(one.failed.reason)}` })}{" "}
                <Button small onClick={() => onLaunch(one.failed?.preview_id ?? "")}>
                  {one.failed.kind === "launch" ? t("Show that launch") : t("Show its log")}
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
            {t("Older versions")}
          </Button>
        </div>
      )}
      {versions.value && versions.value.oldest > 1 && (
        <p className={styles.hint}>
          {t("Versions before {oldest} are not kept. The limit is {limit_versions} versions.", {
            oldest: versions.value.oldest,
            limit_versions: versions.value.limit_versions,
          })}
        </p>
      )}
      {asked !== null && (
        <Ask
          title={t("Roll back to version {asked}?", { asked })}
          action={t("Roll back")}
          kind="primary"
          onYes={() => restore(asked)}
          onClose={() => setAsked(null)}
        >
          <p>
            {t("The files are restored to version {asked}, and a running preview is reloaded. You can undo this.", {
              asked,
            })}
          </p>
          <VersionChanges client={client} generationId={generationId} version={asked} against={newest} />
        </Ask>
      )}
    </>
  );
}
