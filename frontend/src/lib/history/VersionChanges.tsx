import type { ReactNode } from "react";

import type { PreviewClient } from "../api/client";
import { type FileDifference, versionDiff } from "../api/history";
import { useTranslate } from "../texts/translate";
import { Notice } from "../ui/controls";
import { count } from "../ui/format";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./history.module.css";

interface VersionChangesProps {
  client: PreviewClient;
  generationId: string;
  version: number;
  /** The other version; null: the one before. */
  against: number | null;
}

const MOST_FILES = 100;
const MOST_LINES = 400;
const OPEN_FILES = 5;

/** What differs between two versions: each file, with its diff. */
export function VersionChanges({ client, generationId, version, against }: VersionChangesProps): ReactNode {
  const t = useTranslate();
  const diff = useLoad(`${generationId} ${version} ${against}`, (signal) =>
    versionDiff(client, generationId, version, against, signal),
  );
  if (diff.problem) return <Notice tone="bad">{diff.problem.message}</Notice>;
  if (diff.value === null) return <p className={styles.hint}>{t("Loading…")}</p>;
  const { files } = diff.value;
  if (files.length === 0) return <p className={styles.hint}>{t("The files are the same.")}</p>;
  return (
    <div className={styles.changes}>
      {files.slice(0, MOST_FILES).map((one, at) => (
        <Change key={one.path} one={one} isOpenFirst={at < OPEN_FILES} />
      ))}
      {files.length > MOST_FILES && (
        <p className={styles.hint}>
          {count(t, files.length - MOST_FILES, "{count} more file differs.", "{count} more files differ.")}
        </p>
      )}
    </div>
  );
}

function Change({ one, isOpenFirst }: { one: FileDifference; isOpenFirst: boolean }): ReactNode {
  const t = useTranslate();
  const lines = one.diff === null ? [] : one.diff.split("\n").slice(2, -1);
  return (
    <details open={isOpenFirst} className={styles.change}>
      <summary>
        <span className={styles.path}>{visible(one.path)}</span> <span className={styles.kind}>{one.change}</span>
      </summary>
      {lines.length > 0 && (
        <pre className={styles.diff} tabIndex={0} aria-label={t("Changes to {path}", { path: visible(one.path) })}>
          {lines.slice(0, MOST_LINES).map((line, at) => (
            <span key={at} data-sign={line[0]}>
              {visible(line) || " "}
              {"\n"}
            </span>
          ))}
        </pre>
      )}
      {lines.length > MOST_LINES && (
        <p className={styles.hint}>{count(t, lines.length - MOST_LINES, "{count} more line", "{count} more lines")}.</p>
      )}
      {one.left_out && <p className={styles.hint}>{one.left_out}</p>}
    </details>
  );
}
