import { type KeyboardEvent, type ReactNode, type SubmitEvent, useState } from "react";

import type { QueryRows } from "../api/data";
import { useTranslate } from "../texts/translate";
import { Button, classes, CopyButton, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { count, milliseconds } from "../ui/format";
import { visible } from "../ui/visible";
import type { PreviewData } from "../usePreviewData";
import { csvOf } from "./csv";
import panel from "../ui/panel.module.css";
import styles from "./data.module.css";
import { whyNothing } from "./Databases";
import { RowTable } from "./RowTable";
import { MOST_ROWS, type Query } from "./useQuery";

/** One read-only statement, and its result as a table. */
export function SqlView({ data, query }: { data: PreviewData; query: Query }): ReactNode {
  const t = useTranslate();
  const [chosen, choose] = useState<string | null>(null);
  // MongoDB has no SQL.
  const databases = (data.databases ?? []).filter((one) => one.kind !== "MongoDB");
  const database = databases.find((one) => one.id === chosen) ?? databases[0];
  if (!data.isRunning) return <p className={panel.none}>{whyNothing(t, data)}</p>;
  if (!database)
    return (
      <p className={panel.none}>
        {data.databases
          ? t("This preview has no SQL database yet. PostgreSQL, MySQL and SQLite databases are listed here.")
          : (data.problem?.message ?? t("Looking for databases…"))}
      </p>
    );
  const canRun = query.sql.trim() !== "";
  const submit = (event?: SubmitEvent): void => {
    event?.preventDefault();
    if (canRun && !query.isOn) void query.run(database.id);
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    submit();
  };
  return (
    <form className={styles.query} onSubmit={submit} aria-label={t("SQL")}>
      <div className={styles.statement}>
        <textarea
          className={classes(controls.field, styles.sql)}
          aria-label={t("SQL statement")}
          placeholder={t("select * from …")}
          rows={Math.min(12, Math.max(3, query.sql.split("\n").length))}
          spellCheck={false}
          value={query.sql}
          onChange={(event) => query.write(event.target.value)}
          onKeyDown={key}
        />
        <div className={styles.wrap}>
          {databases.length > 1 && (
            <select
              className={classes(controls.field, styles.choice)}
              aria-label={t("Database")}
              value={database.id}
              onChange={(event) => choose(event.target.value)}
            >
              {databases.map((one) => (
                <option key={one.id} value={one.id}>
                  {visible(one.name)}
                </option>
              ))}
            </select>
          )}
          <span className={panel.fact}>{t("One statement, read-only")}</span>
          <span className={panel.spring} />
          {query.isOn ? (
            <Button onClick={query.cancel}>{t("Cancel")}</Button>
          ) : (
            <Button kind="primary" icon="play" type="submit" title={t("Ctrl+Enter")} disabled={!canRun}>
              {t("Run")}
            </Button>
          )}
        </div>
      </div>
      {query.problem && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            <span className={styles.said}>{query.problem.message}</span>
          </Notice>
        </div>
      )}
      {query.result && <Result result={query.result} />}
    </form>
  );
}

function Result({ result }: { result: QueryRows }): ReactNode {
  const t = useTranslate();
  const { rows } = result;
  const cut = rows.length >= MOST_ROWS ? t("there are more rows") : t("long values are truncated");
  return (
    <>
      <div className={styles.bar}>
        <span className={panel.fact} role="status">
          {t("{rows} in {elapsed_ms}", {
            rows: count(t, rows.length, "{count} row", "{count} rows"),
            elapsed_ms: milliseconds(result.elapsed_ms),
          })}
          {result.is_cut && `; ${cut}`}
        </span>
        <span className={panel.spring} />
        {rows.length > 0 && <CopyButton text={() => csvOf(result)} label={t("Copy as CSV")} />}
      </div>
      {result.columns.length > 0 && <RowTable label={t("Result")} table={result} />}
    </>
  );
}
