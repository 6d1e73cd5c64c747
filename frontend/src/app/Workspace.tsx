import { type ReactNode, useState } from "react";

import { DataPanel, LaunchPanel, PreviewTerminal, RequestPanel, type ThemeChoice } from "../lib";
import { Icon, type IconName } from "../lib/ui/icons";
import styles from "./app.module.css";
import { useSmallScreen } from "./useSmallScreen";
import type { Project } from "./useProjects";

interface WorkspaceProps {
  project: Project;
  theme: ThemeChoice;
  onSignIn: () => void;
  onShow: (generationId: string) => void;
  nameOf: (generationId: string) => string;
}

type Pane = "log" | "requests" | "data";
const PANES: readonly (readonly [Pane, IconName, string])[] = [
  ["log", "terminal", "Log"],
  ["requests", "send", "Requests"],
  ["data", "data", "Data"],
];

/** One project: its preview, its log beside its requests or its data; on a small screen one of the three at a time. */
export function Workspace({ project, theme, onSignIn, onShow, nameOf }: WorkspaceProps): ReactNode {
  const [pane, setPane] = useState<Pane>("log");
  const [wasDataShown, setDataShown] = useState(false);
  const isSmall = useSmallScreen();
  const { id, name } = project;
  // A large screen always shows the log.
  const shown = isSmall || pane === "data" ? pane : "requests";
  const show = (next: Pane): void => {
    setPane(next);
    if (next === "data") setDataShown(true);
  };
  return (
    <main className={styles.workspace} data-pane={shown}>
      <LaunchPanel generationId={id} name={name} theme={theme} onSignIn={onSignIn} onShow={onShow} nameOf={nameOf} />
      <div className={styles.panes}>
        <div className={styles.switch} role="group" aria-label="What is shown">
          {PANES.filter(([one]) => isSmall || one !== "log").map(([one, icon, word]) => (
            <button key={one} type="button" aria-pressed={shown === one} onClick={() => show(one)}>
              <Icon name={icon} /> {word}
            </button>
          ))}
        </div>
        <div className={styles.logPane}>
          <PreviewTerminal key={id} generationId={id} theme={theme} />
        </div>
        <div className={styles.requestPane}>
          <RequestPanel key={id} generationId={id} theme={theme} onShowLog={() => show("log")} />
        </div>
        <div className={styles.dataPane}>
          {wasDataShown && <DataPanel key={id} generationId={id} name={name} theme={theme} onShow={onShow} />}
        </div>
      </div>
    </main>
  );
}
