import type { TableRows } from "../api/data";

/** Rows as CSV (RFC 4180) with a head. Values are quoted; NULL is an empty field without quotes, as in PostgreSQL. */
export function csvOf({ columns, rows }: Pick<TableRows, "columns" | "rows">): string {
  const lines = [columns.map((one) => one.name), ...rows];
  return lines.map((fields) => `${fields.map(fieldOf).join(",")}\r\n`).join("");
}

function fieldOf(value: string | null): string {
  return value === null ? "" : `"${value.replaceAll('"', '""')}"`;
}
