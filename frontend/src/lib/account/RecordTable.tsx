import type { ReactNode } from "react";

import controls from "../ui/controls.module.css";
import styles from "./account.module.css";

interface RecordTableProps {
  title: string;
  /** The names of the columns; an empty one is that of buttons. */
  heads: readonly string[];
  rows: readonly (readonly ReactNode[])[] | undefined;
}

/** A table; on a small screen each row is a card, with the column's name beside each value. */
export function RecordTable({ title, heads, rows }: RecordTableProps): ReactNode {
  return (
    <section>
      <h4>{title}</h4>
      <div className={styles.scroll} tabIndex={0} role="region" aria-label={title}>
        {/* A table that is shown as blocks is one for a screen reader only by its roles. */}
        <table role="table" className={styles.table}>
          <thead role="rowgroup">
            <tr role="row">
              {heads.map((one, at) => (
                <th key={at} role="columnheader" scope="col">
                  {one || <span className={controls.hidden}>Action</span>}
                </th>
              ))}
            </tr>
          </thead>
          <tbody role="rowgroup">
            {rows?.map((cells, at) => (
              <tr key={at} role="row">
                {cells.map((cell, column) => (
                  <td key={column} role="cell" data-name={heads[column]}>
                    <span>{cell}</span>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
        {rows?.length === 0 && <p className={styles.muted}>None.</p>}
      </div>
    </section>
  );
}
