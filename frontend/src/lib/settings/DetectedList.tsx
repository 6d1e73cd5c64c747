import type { ReactNode } from "react";

import type { DetectedEntry, ProjectEnvironment } from "../api/settings";
import { Button } from "../ui/controls";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import styles from "./settings.module.css";

interface DetectedListProps {
  environment: ProjectEnvironment;
  /** Called to set a variable that was made up. */
  onSet: (name: string) => void;
  onOpenFile?: ((path: string, line: number) => void) | undefined;
}

/** What the service has decided from the files, and what it made up. */
export function DetectedList({ environment, onSet, onOpenFile }: DetectedListProps): ReactNode {
  const { detected } = environment;
  if (!detected) return null;
  const isSet = (name: string): boolean =>
    [environment.settings, ...environment.presets.filter((one) => one.active)].some((layer) =>
      layer.variables.some((one) => one.name === name),
    );
  return (
    <section className={panel.section} aria-label="Detected">
      <h4>Detected in the files</h4>
      {detected.problem && <p className={panel.hint}>{visible(detected.problem)}</p>}
      <ul className={panel.list}>
        {detected.entries.map((one) => (
          <li key={`${one.kind} ${one.name}`} className={styles.detected}>
            <span className={styles.text}>
              {visible(one.made_up && isSet(one.name) ? `${one.name} has your value; it is read in` : one.text)}
              {one.kind === "variable" && one.value !== null && one.value !== "" && !isSet(one.name) && (
                <span className={styles.placeholder}>{visible(one.value)}</span>
              )}
              <Where entry={one} onOpenFile={onOpenFile} />
            </span>
            {one.kind === "variable" &&
              (isSet(one.name) ? (
                <span className={panel.badge} data-tone="good">
                  set
                </span>
              ) : (
                <Button
                  small
                  kind={one.made_up ? "normal" : "quiet"}
                  aria-label={`Set it: ${one.name}`}
                  onClick={() => onSet(one.name)}
                >
                  Set it
                </Button>
              ))}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Where({ entry, onOpenFile }: { entry: DetectedEntry } & Pick<DetectedListProps, "onOpenFile">): ReactNode {
  const place = /^(.+?)(?::(\d+))?$/.exec(entry.where);
  if (!place) return null;
  const [, path = "", line] = place;
  // A decision of several files has a sentence here.
  if (!onOpenFile || /\s/.test(path)) return <span className={styles.where}>{visible(entry.where)}</span>;
  return (
    <button type="button" className={styles.where} onClick={() => onOpenFile(path, Number(line ?? 1))}>
      {visible(entry.where)}
    </button>
  );
}
