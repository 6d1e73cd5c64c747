import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
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
  const { client, generationId, choice } = props;
  const [offset, setOffset] = useState(0);
  const { rows, problem, isLoading } = useRows(client, generationId, choice, offset, props.revision);
  const name = visible(choice.table);
  const number = rows?.rows.length ?? 0;
  return (
    <div className={panel.view}>
      <div className={styles.bar}>
        <Button small autoFocus icon="left" onClick={props.onBack}>
          Tables
        </Button>
        <h3 className={styles.name}>{name}</h3>
        <span className={panel.spring} />
        {rows && number > 0 && <CopyButton text={() => csvOf(rows)} label="Copy these rows as CSV" />}
        <IconButton icon="restart" label="Refresh" onClick={props.onRefresh} />
      </div>
      {problem && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            {problem.message}
          </Notice>
        </div>
      )}
      {rows && number > 0 && <RowTable label={`Rows of ${name}`} table={rows} first={rows.offset + 1} />}
      {rows && number === 0 && (
        <p className={panel.none}>
          {rows.offset === 0 ? "This table is empty. Send a request that adds rows, then refresh." : "No more rows."}
        </p>
      )}
      {!rows && !problem && <p className={panel.none}>Loading…</p>}
      {rows && (rows.offset > 0 || rows.has_more) && (
        <div className={styles.pager}>
          <Button small disabled={isLoading || offset === 0} onClick={() => setOffset(Math.max(0, offset - PAGE_ROWS))}>
            Previous
          </Button>
          <span className={panel.fact} role="status">
            {number > 0 &&
              `Rows ${(rows.offset + 1).toLocaleString("en")} to ${(rows.offset + number).toLocaleString("en")}`}
          </span>
          <Button small disabled={isLoading || !rows.has_more} onClick={() => setOffset(offset + number)}>
            Next
          </Button>
        </div>
      )}
    </div>
  );
}
