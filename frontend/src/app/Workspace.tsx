import { type ReactNode, useState } from "react";

import { LaunchPanel, PreviewTerminal, RequestPanel, type ThemeChoice } from "../lib";
import { Icon } from "../lib/ui/icons";
import styles from "./app.module.css";
import type { Project } from "./useProjects";

interface WorkspaceProps {
  project: Project;
  theme: ThemeChoice;
  onSignIn: () => void;
  onShow: (generationId: string) => void;
  nameOf: (generationId: string) => string;
}

/** One project: its preview, its log beside its requests; on a small screen one of the two at a time. */
export function Workspace({ project, theme, onSignIn, onShow, nameOf }: WorkspaceProps): ReactNode {
  const [pane, setPane] = useState<"log" | "requests">("log");
  const { id, name } = project;
  return (
    <main className={styles.workspace} data-pane={pane}>
      <LaunchPanel generationId={id} name={name} theme={theme} onSignIn={onSignIn} onShow={onShow} nameOf={nameOf} />
      <div className={styles.switch} role="group" aria-label="What is shown">
        <button type="button" aria-pressed={pane === "log"} onClick={() => setPane("log")}>
          <Icon name="terminal" /> Log
        </button>
        <button type="button" aria-pressed={pane === "requests"} onClick={() => setPane("requests")}>
          <Icon name="send" /> Requests
        </button>
      </div>
      <div className={styles.panes}>
        <div className={styles.logPane}>
          <PreviewTerminal key={id} generationId={id} theme={theme} />
        </div>
        <div className={styles.requestPane}>
          <RequestPanel key={id} generationId={id} theme={theme} onShowLog={() => setPane("log")} />
        </div>
      </div>
    </main>
  );
}
