import type { ReactNode } from "react";

import { Dialog } from "../lib/ui/Dialog";
import styles from "./overlay.module.css";
import { PAGE_KEYS } from "./shortcuts";

/** All keys of the page. */
export function Shortcuts({ onClose }: { onClose: () => void }): ReactNode {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <table className={styles.keys}>
        <tbody>
          {PAGE_KEYS.map(([keys, meaning]) => (
            <tr key={keys}>
              <th scope="row">
                <kbd>{keys}</kbd>
              </th>
              <td>{meaning}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Dialog>
  );
}
