import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { useTranslate } from "../texts/translate";
import { Button, CopyButton, IconButton, Notice } from "../ui/controls";
import { visible } from "../ui/visible";
import { csvOf } from "./csv";
import panel from "../ui/panel.module.css";
import styles from "./data.module.css";
import { RowTable } from "./RowTable";
import { PAGE_ROWS, type TableChoice, useRows } from "./useRows";

interface TableViewProps {
  client: PreviewClient;
  generationId: string;
  choice: TableChoice;
  /** Changes when the rows may have changed. */
  revision: unknown;
  onRefresh: () => void;
  onBack: () => void;
}

/** The rows of one table, page by page. */
export function TableView(props: TableViewProps): ReactNode {
  const t = useTranslate();
  const { client, generationId, choice } = props;
  const [offset, setOffset] = useState(0);
  const { rows, problem, isLoading } = useRows(client, generationId, choice, offset, props.revision);
  const name = visible(choice.table);
  const number = rows?.rows.length ?? 0;
  return (
    <div className={panel.view}>
      <div className={styles.bar}>
        <Button small autoFocus icon="left" onClick={props.onBack}>
          {t("Tables")}
        </Button>
        <h3 className={styles.name}>{name}</h3>
        <span className={panel.spring} />
        {rows && number > 0 && <CopyButton text={() => csvOf(rows)} label={t("Copy these rows as CSV")} />}
        <IconButton icon="restart" label={t("Refresh")} onClick={props.onRefresh} />
      </div>
      {problem && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            {problem.message}
          </Notice>
        </div>
      )}
      {rows && number > 0 && <RowTable label={t("Rows of {name}", { name })} table={rows} first={rows.offset + 1} />}
      {rows && number === 0 && (
        <p className={panel.none}>
          {rows.offset === 0
            ? t("This table is empty. Send a request that adds rows, then refresh.")
            : t("No more rows.")}
        </p>
      )}
      {!rows && !problem && <p className={panel.none}>{t("Loading…")}</p>}
      {rows && (rows.offset > 0 || rows.has_more) && (
        <div className={styles.pager}>
          <Button small disabled={isLoading || offset === 0} onClick={() => setOffset(Math.max(0, offset - PAGE_ROWS))}>
            {t("Previous")}
          </Button>
          <span className={panel.fact} role="status">
            {number > 0 &&
              t("Rows {offset} to {offset2}", {
                offset: (rows.offset + 1).toLocaleString("en"),
                offset2: (rows.offset + number).toLocaleString("en"),
              })}
          </span>
          <Button small disabled={isLoading || !rows.has_more} onClick={() => setOffset(offset + number)}>
            {t("Next")}
          </Button>
        </div>
      )}
    </div>
  );
}
