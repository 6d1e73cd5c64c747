import type { ReactNode } from "react";

import type { UsageItem } from "../api/account";
import panel from "../ui/panel.module.css";
import styles from "./account.module.css";

const MIB = 1024 * 1024;

export function amount(value: number | null, unit: UsageItem["unit"]): string {
  if (value === null) return "–";
  if (unit !== "bytes") return value.toLocaleString();
  return value >= MIB || value === 0
    ? `${(value / MIB).toLocaleString([], { maximumFractionDigits: 1 })} MB`
    : "< 1 MB";
}

function isReached({ used, limit }: UsageItem): boolean {
  return used !== null && limit !== null && used > 0 && used >= limit;
}

/** The limits of a user in plain words, each with the setting that an operator would change. */
export function UsageView({ items }: { items: readonly UsageItem[] }): ReactNode {
  return (
    <div className={styles.scroll} tabIndex={0} role="region" aria-label="Usage and limits">
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">Resource</th>
            <th scope="col">Used</th>
            <th scope="col">Limit</th>
            <th scope="col">Service setting</th>
          </tr>
        </thead>
        <tbody>
          {items.map((one) => (
            <tr key={one.name}>
              <td>
                {one.about}{" "}
                {isReached(one) && (
                  <span className={panel.badge} data-tone="warn">
                    limit reached
                  </span>
                )}
              </td>
              <td className={styles.number}>{amount(one.used, one.unit)}</td>
              <td className={styles.number}>{amount(one.limit, one.unit)}</td>
              <td className={styles.muted}>{one.setting && <code>{one.setting}</code>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
