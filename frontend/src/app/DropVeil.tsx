import type { ReactNode } from "react";

import styles from "./projects.module.css";

/** Where something that is dragged over the page can be let go; a project that runs can take it as its new files. */
export function DropVeil({ running }: { running: string | null }): ReactNode {
  return (
    <div className={styles.dropVeil}>
      {running !== null && <div data-drop="replace">Drop it here to replace the files of {running}, and reload it</div>}
      <div data-drop="upload">{running === null ? "Drop it to upload" : "Drop it here to upload a new project"}</div>
    </div>
  );
}
