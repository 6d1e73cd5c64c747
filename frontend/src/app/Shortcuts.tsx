import type { ReactNode } from "react";

import { LOG_KEYS } from "../lib/terminal/logKeys";
import { Dialog } from "../lib/ui/Dialog";
import styles from "./overlay.module.css";
import { PAGE_KEYS } from "./shortcuts";

/** All keys of the page. */
export function Shortcuts({ onClose }: { onClose: () => void }): ReactNode {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <Keys title="Page" keys={PAGE_KEYS} />
      <Keys title="In the log" keys={LOG_KEYS} />
    </Dialog>
  );
}

function Keys({ title, keys }: { title: string; keys: readonly (readonly [string, string])[] }): ReactNode {
  return (
    <>
      <h4>{title}</h4>
      <table className={styles.keys} aria-label={title}>
        <tbody>
          {keys.map(([press, meaning]) => (
            <tr key={press}>
              <th scope="row">
                <kbd>{press}</kbd>
              </th>
              <td>{meaning}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
