import type { ReactNode } from "react";

import type { TableRows } from "../api/data";
import { useTranslate } from "../texts/translate";
import { count } from "../ui/format";
import { visible } from "../ui/visible";
import styles from "./data.module.css";
import { Value } from "./Value";

// The browser lays out each cell: 100 rows of so many columns take it 0.1 s.
const MOST_COLUMNS = 100;

interface RowTableProps {
  /** The content, for screen readers. */
  label: string;
  table: Pick<TableRows, "columns" | "rows">;
  /** Number of the first row. */
  first?: number;
}

/** Rows under their columns. It scrolls inside. */
export function RowTable({ label, table, first = 1 }: RowTableProps): ReactNode {
  const t = useTranslate();
  const columns = table.columns.slice(0, MOST_COLUMNS).map((one) => ({ ...one, name: visible(one.name) }));
  const left = table.columns.length - columns.length;
  return (
    <div className={styles.tableScroll} role="region" aria-label={label} tabIndex={0}>
      <table className={styles.table}>
        <thead>
          <tr>
            {columns.map(({ name, type }, at) => (
              <th key={at} scope="col">
                {name}
                {type && <small>{visible(type)}</small>}
              </th>
            ))}
            {left > 0 && (
              <th scope="col">
                {t("{left} in the CSV", { left: count(t, left, "{count} more column", "{count} more columns") })}
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, index) => (
            <tr key={index}>
              {columns.map(({ name }, at) => (
                <td key={at}>
                  <Value value={row[at] ?? null} name={t("{name}, row {first}", { name, first: first + index })} />
                </td>
              ))}
              {left > 0 && <td>…</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
