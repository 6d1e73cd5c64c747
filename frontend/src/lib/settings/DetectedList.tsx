import type { ReactNode } from "react";

import type { DetectedEntry, ProjectEnvironment } from "../api/settings";
import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import styles from "./settings.module.css";
import { isOption, type WantedOption } from "./start";

interface DetectedListProps {
  environment: ProjectEnvironment;
  /** Called to set a variable, such as one that was made up. */
  onSet: (name: string) => void;
  /** Called to set a start option, beginning with the decision. */
  onOption: (wanted: WantedOption) => void;
  onOpenFile?: ((path: string, line: number) => void) | undefined;
}

/** What the service has decided from the files, and what it made up. */
export function DetectedList({ environment, onSet, onOption, onOpenFile }: DetectedListProps): ReactNode {
  const t = useTranslate();
  const { detected } = environment;
  if (!detected) return null;
  const layers = [environment.settings, ...environment.presets.filter((one) => one.active)];
  const isSet = ({ kind, name }: DetectedEntry): boolean =>
    isOption(kind)
      ? layers.some((layer) => layer.start[kind] !== undefined)
      : layers.some((layer) => layer.variables.some((one) => one.name === name));
  const setter = (one: DetectedEntry): (() => void) | null => {
    const { kind, name, value } = one;
    if (isOption(kind)) return () => onOption({ key: kind, value: value ?? "" });
    return kind !== "port" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? () => onSet(name) : null;
  };
  return (
    <section className={panel.section} aria-label={t("Detected")}>
      <h4>{t("Detected in the files")}</h4>
      {detected.problem && <p className={panel.hint}>{visible(detected.problem)}</p>}
      <ul className={panel.list}>
        {detected.entries.map((one, at) => (
          <li key={`${one.kind} ${one.name} ${at}`} className={styles.detected}>
            <span className={styles.text}>
              {visible(
                one.made_up && isSet(one) ? t("{name} is set; the project reads it in", { name: one.name }) : one.text,
              )}
              {one.kind === "variable" && one.value !== null && one.value !== "" && !isSet(one) && (
                <span className={styles.placeholder}>{visible(one.value)}</span>
              )}
              <Where entry={one} onOpenFile={onOpenFile} />
            </span>
            {isSet(one) ? (
              <span className={panel.badge} data-tone="good">
                {t("set")}
              </span>
            ) : (
              <SetButton entry={one} onSet={setter(one)} />
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function SetButton({ entry, onSet }: { entry: DetectedEntry; onSet: (() => void) | null }): ReactNode {
  const t = useTranslate();
  if (onSet === null) return null;
  return (
    <Button
      small
      kind={entry.made_up ? "normal" : "quiet"}
      aria-label={t("Set it: {name}", { name: visible(entry.name) })}
      onClick={onSet}
    >
      {t("Set it")}
    </Button>
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
