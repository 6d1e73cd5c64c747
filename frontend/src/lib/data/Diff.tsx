import { type ReactNode, useState } from "react";

import type { ChangeKind, FileChange, RowSample, SnapshotDiff, TableChange } from "../api/data";
import { useTranslate, english, type Untranslated } from "../texts/translate";
import { Button } from "../ui/controls";
import { bytes, count } from "../ui/format";
import { visible } from "../ui/visible";
import panel from "../ui/panel.module.css";
import styles from "./data.module.css";
import { Value } from "./Value";

const MOST_LISTED = 200;
// A stranger decides on the number of tables and columns: all of them could stop the page for a second.
const MOST_OPEN = 8;
const MOST_COMPARED = 200;
const MOST_FIELDS = 12;
const CHANGES: Record<ChangeKind, Untranslated> = {
  added: english("added"),
  removed: english("removed"),
  changed: english("changed"),
};
const SIGNS: Record<ChangeKind, string> = { added: "+", removed: "−", changed: "~" };

/** Files and tables that differ, with samples of their rows. */
export function Diff({ diff }: { diff: SnapshotDiff }): ReactNode {
  const t = useTranslate();
  const databases = diff.databases.filter((one) => one.tables.length > 0);
  const isSame = diff.files.length === 0 && databases.length === 0;
  return (
    <>
      {isSame && (
        <p className={panel.none} role="status">
          {t("Nothing has changed.")}
        </p>
      )}
      {diff.is_cut && (
        <p className={panel.hint} role="note">
          {t("There are more changes than are shown here.")}
        </p>
      )}
      {databases.map((database) => (
        <section key={database.name} aria-label={t("Changes in {name}", { name: visible(database.name) })}>
          <div className={styles.sectionHead}>
            <h3 className={styles.name}>{visible(database.name)}</h3>
            <span className={panel.fact}>{count(t, database.tables.length, "{count} table", "{count} tables")}</span>
          </div>
          {database.tables.slice(0, MOST_LISTED).map((table, at) => (
            <Table key={table.name} table={table} isOpenFirst={at < MOST_OPEN} />
          ))}
          <More left={database.tables.length - MOST_LISTED} of="tables" />
        </section>
      ))}
      {diff.files.length > 0 && (
        <section aria-label={t("Changed files")}>
          <div className={styles.sectionHead}>
            <h3>{t("Files")}</h3>
            <span className={panel.fact}>{count(t, diff.files.length, "{count} file", "{count} files")}</span>
          </div>
          <ul className={styles.changes}>
            {diff.files.slice(0, MOST_LISTED).map((file) => (
              <li key={file.path}>
                <Sign change={file.change} />
                <span className={styles.tableName}>{visible(file.path)}</span>
                <span className={styles.number}>{sizesOf(file)}</span>
              </li>
            ))}
          </ul>
          <More left={diff.files.length - MOST_LISTED} of="files" />
        </section>
      )}
    </>
  );
}

function More({ left, of }: { left: number; of: "tables" | "files" }): ReactNode {
  const t = useTranslate();
  return (
    left > 0 && (
      <p className={panel.hint}>
        {t("And {left}.", {
          left:
            of === "tables"
              ? count(t, left, "{count} more table", "{count} more tables")
              : count(t, left, "{count} more file", "{count} more files"),
        })}
      </p>
    )
  );
}

function Sign({ change }: { change: ChangeKind }): ReactNode {
  const t = useTranslate();
  const word = t(CHANGES[change]);
  return (
    <span className={styles.sign} data-change={change} role="img" aria-label={word} title={word}>
      {SIGNS[change]}
    </span>
  );
}

function sizesOf({ size_before, size_after }: FileChange): string {
  if (size_before !== null && size_after !== null) return `${bytes(size_before)} → ${bytes(size_after)}`;
  const size = size_after ?? size_before;
  return size === null ? "" : bytes(size);
}

function Table({ table, isOpenFirst }: { table: TableChange; isOpenFirst: boolean }): ReactNode {
  const t = useTranslate();
  const [isOpen, setOpen] = useState(isOpenFirst);
  const counts = (["added", "changed", "removed"] as const).filter((kind) => table[kind] > 0);
  return (
    <div className={styles.tableChange}>
      <div className={styles.wrap}>
        <span className={styles.tableName}>{visible(table.name)}</span>
        {counts.map((kind) => (
          <span key={kind} className={styles.counted} data-change={kind}>
            {table[kind].toLocaleString("en")} {t(CHANGES[kind])}
          </span>
        ))}
      </div>
      {table.note !== null && <p className={styles.tableNote}>{visible(table.note)}</p>}
      {table.samples.length > 0 && !isOpen && (
        <Button small kind="quiet" onClick={() => setOpen(true)}>
          {t("Show {samples}", { samples: count(t, table.samples.length, "{count} sample", "{count} samples") })}
        </Button>
      )}
      {table.samples.length > 0 && isOpen && (
        <ul className={styles.samples} aria-label={t("Samples of {name}", { name: visible(table.name) })}>
          {table.samples.map((sample, at) => (
            <Sample key={at} sample={sample} table={visible(table.name)} />
          ))}
        </ul>
      )}
    </div>
  );
}

/** A row before and after: of a changed one, its first column and those that differ. */
function Sample({ sample, table }: { sample: RowSample; table: string }): ReactNode {
  const t = useTranslate();
  const { before, after, change } = sample;
  const names = Object.keys({ ...before, ...after });
  const isBoth = before !== null && after !== null;
  const differs = (name: string): boolean => isBoth && valueOf(before, name) !== valueOf(after, name);
  const compared = names.slice(0, MOST_COMPARED);
  const told = isBoth ? compared.filter((name, at) => at === 0 || differs(name)) : compared;
  const shown = told.slice(0, MOST_FIELDS);
  const left = told.length - shown.length + names.length - compared.length;
  return (
    <li>
      <Sign change={change} />
      <dl className={styles.fields}>
        {shown.map((name) => (
          <div key={name}>
            <dt>{visible(name)}</dt>
            <dd>
              {differs(name) && (
                <>
                  <del>
                    <Value
                      value={valueOf(before, name)}
                      name={t("{table}: {name}, before", { table, name: visible(name) })}
                    />
                  </del>
                  {" → "}
                </>
              )}
              <Value value={valueOf(after ?? before, name)} name={`${table}: ${visible(name)}`} />
            </dd>
          </div>
        ))}
        {left > 0 && <div className={panel.fact}>{count(t, left, "{count} more column", "{count} more columns")}</div>}
      </dl>
    </li>
  );
}

/** The value as text; null for NULL, and for a column that the row does not have. */
function valueOf(row: Record<string, unknown> | null, name: string): string | null {
  // A column may be called like a method of each object.
  const value = row !== null && Object.hasOwn(row, name) ? row[name] : null;
  if (value === null || value === undefined) return null;
  return typeof value === "string" ? value : JSON.stringify(value);
}
