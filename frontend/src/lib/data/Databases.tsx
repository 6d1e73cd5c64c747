import type { ReactNode } from "react";

import type { DataDatabase, DataServer } from "../api/data";
import { useTranslate, type Translate } from "../texts/translate";
import { Button, IconButton, Notice } from "../ui/controls";
import { bytes, count } from "../ui/format";
import { visible } from "../ui/visible";
import type { PreviewData } from "../usePreviewData";
import panel from "../ui/panel.module.css";
import styles from "./data.module.css";
import type { TableChoice } from "./useRows";

const MOST_TABLES = 500;

interface DatabasesProps {
  data: PreviewData;
  /** The table that was open last: it has the focus. */
  last: TableChoice | null;
  onOpen: (choice: TableChoice) => void;
}

/** The servers of a preview, and the tables of its databases. */
export function Databases({ data, last, onOpen }: DatabasesProps): ReactNode {
  const t = useTranslate();
  const { servers, databases, problem } = data;
  if (!data.isRunning) return <p className={panel.none}>{whyNothing(t, data)}</p>;
  const isEmpty = servers?.length === 0 && databases?.length === 0;
  return (
    <div className={panel.scroll}>
      {problem && (
        <div className={panel.pad}>
          <Notice
            tone="bad"
            role="alert"
            actions={
              <Button small onClick={data.refresh}>
                {t("Try again")}
              </Button>
            }
          >
            {problem.message}
          </Notice>
        </div>
      )}
      {!problem && !servers && !databases && <p className={panel.none}>{t("Looking for databases…")}</p>}
      {isEmpty && (
        <div className={panel.none}>
          <p>
            {t(
              "This preview has no database yet. Backing services that the project needs, and SQLite files that it writes, appear here. Send a request that stores something, then refresh.",
            )}
          </p>
          <Button onClick={data.refresh}>{t("Check again")}</Button>
        </div>
      )}
      {!isEmpty && (servers ?? databases) && (
        <div className={styles.sectionHead}>
          <h3>{t("Backing services")}</h3>
          <span className={panel.spring} />
          <IconButton icon="restart" label={t("Refresh")} disabled={data.isLoading} onClick={data.refresh} />
        </div>
      )}
      {!isEmpty && servers && <Servers servers={servers} />}
      {databases?.map((one) => (
        <Database key={one.id} database={one} last={last?.database === one.id ? last.table : null} onOpen={onOpen} />
      ))}
    </div>
  );
}

/** Why there is nothing to read. */
export function whyNothing(t: Translate, { state }: PreviewData): string {
  if (state === null) return "";
  if (state === "starting") return t("The preview is starting; its databases can be read once it is ready.");
  return t("The preview is not running. Launch it to see its databases.");
}

function Servers({ servers }: { servers: readonly DataServer[] }): ReactNode {
  const t = useTranslate();
  if (servers.length === 0) return <p className={panel.hint}>{t("The project needs no backing services.")}</p>;
  return (
    <ul className={styles.servers}>
      {servers.map((one) => (
        <li key={one.kind}>
          <span className={styles.server}>{visible(one.version)}</span>
          <span className={panel.fact}>{one.size_bytes === null ? t("not used yet") : bytes(one.size_bytes)}</span>
          <span className={panel.fact}>{count(t, one.connections, "{count} connection", "{count} connections")}</span>
        </li>
      ))}
    </ul>
  );
}

interface DatabaseProps {
  database: DataDatabase;
  last: string | null;
  onOpen: (choice: TableChoice) => void;
}

function Database({ database, last, onOpen }: DatabaseProps): ReactNode {
  const t = useTranslate();
  const { id, kind, tables, problem } = database;
  const name = visible(database.name);
  const shown = tables.slice(0, MOST_TABLES);
  return (
    <section aria-label={t("Tables of {name}", { name })}>
      <div className={styles.sectionHead}>
        <h3 className={styles.name}>{name}</h3>
        {kind !== database.name && <span className={panel.fact}>{kind}</span>}
        {database.size_bytes !== null && <span className={panel.fact}>{bytes(database.size_bytes)}</span>}
      </div>
      {problem !== null && (
        <div className={panel.pad}>
          <Notice tone="bad">{visible(problem)}</Notice>
        </div>
      )}
      {problem === null && tables.length === 0 && (
        <p className={panel.hint}>{t("No tables yet. They are listed here when the project has created them.")}</p>
      )}
      <ul className={styles.list}>
        {shown.map((one) => (
          <li key={one.name}>
            <button
              type="button"
              className={styles.row}
              autoFocus={one.name === last}
              onClick={() => onOpen({ database: id, table: one.name })}
            >
              <span className={styles.tableName}>{visible(one.name)}</span>
              <span className={styles.number}>
                {one.rows === null ? "" : count(t, one.rows, "{count} row", "{count} rows")}
              </span>
              <span className={styles.number}>{one.size_bytes === null ? "" : bytes(one.size_bytes)}</span>
            </button>
          </li>
        ))}
      </ul>
      {tables.length > shown.length && (
        <p className={panel.hint}>
          {t("{tables}. Query them on the SQL tab.", {
            tables: count(t, tables.length - shown.length, "{count} more table", "{count} more tables"),
          })}
        </p>
      )}
    </section>
  );
}
