import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { changeEnvironment, type SettingsLayer, type SettingsVariable, setSecret } from "../api/settings";
import { useTranslate, type Translate } from "../texts/translate";
import { Button, IconButton } from "../ui/controls";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import { EnvDialog } from "./EnvDialog";
import type { Run } from "./PresetBar";
import styles from "./settings.module.css";
import { VariableForm } from "./VariableForm";

interface VariableListProps {
  client: PreviewClient;
  projectId: string;
  preset: string | null;
  layer: SettingsLayer;
  /** Name of a variable to set, such as one that detection made up. */
  wanted: string;
  isRunning: boolean;
  /** What is said after a change. */
  saved: string;
  isBusy: boolean;
  restart: () => Promise<string>;
  run: Run;
}

/** Variables and secrets of a project or a preset. */
export function VariableList(props: VariableListProps): ReactNode {
  const t = useTranslate();
  const { client, projectId, preset, layer, isBusy, run, saved } = props;
  const [edited, setEdited] = useState<string | null>(props.wanted || null);
  const [isPasting, setPasting] = useState(false);
  const known = layer.variables.find((one) => one.name === edited);
  const patch = (change: Parameters<typeof changeEnvironment>[3]) =>
    changeEnvironment(client, projectId, preset, change);
  const save = (name: string, value: string, isSecret: boolean): void =>
    run(t("Saving…"), async () => {
      if (isSecret) await setSecret(client, projectId, preset, name, value);
      else await patch({ set: { [name]: value } });
      // Not before: what the service has refused stays in the form.
      setEdited(null);
      return saved;
    });
  const remove = (name: string): void =>
    run(t("Removing…"), async () => {
      await patch({ unset: [name] });
      return saved;
    });
  const turn = (one: SettingsVariable): void =>
    run(
      one.flag ? t("Turning {name} off…", { name: one.name }) : t("Turning {name} on…", { name: one.name }),
      async () => {
        await patch({ set: { [one.name]: one.toggled ?? "" } });
        return props.isRunning ? props.restart() : saved;
      },
    );
  return (
    <section className={panel.section} aria-label={t("Variables")}>
      <div className={panel.sectionHead}>
        <h4>{t("Variables and secrets")}</h4>
        <Button small icon="copy" disabled={isBusy} onClick={() => setPasting(true)}>
          {t("Paste .env")}
        </Button>
        <Button small kind="primary" icon="plus" disabled={isBusy} onClick={() => setEdited("")}>
          {t("Add")}
        </Button>
      </div>
      {edited !== null && !known && (
        <VariableForm name={edited} isBusy={isBusy} onSave={save} onCancel={() => setEdited(null)} />
      )}
      {layer.variables.length === 0 && edited === null && (
        <p className={panel.none}>
          {preset === null
            ? t(
                "No variables are set. Variables that the project reads get values from its files, or placeholders: see the list below.",
              )
            : t("The preset sets no variable yet.")}
        </p>
      )}
      <ul className={panel.list}>
        {layer.variables.map((one) => (
          <li key={one.name} className={styles.row}>
            {edited === one.name ? (
              <VariableForm
                name={one.name}
                known={one}
                isBusy={isBusy}
                onSave={save}
                onCancel={() => setEdited(null)}
              />
            ) : (
              <>
                <span className={styles.name}>{visible(one.name)}</span>
                <span className={styles.value}>
                  {one.secret ? (
                    <span title={t("A secret: its value is never shown")}>••••••••</span>
                  ) : (
                    shown(t, one.value)
                  )}
                </span>
                <span className={styles.controls}>
                  {one.flag !== null && (
                    <button
                      type="button"
                      role="switch"
                      aria-checked={one.flag}
                      aria-label={one.name}
                      title={
                        one.flag
                          ? props.isRunning
                            ? t("On: turn it off and restart")
                            : t("On: turn it off")
                          : props.isRunning
                            ? t("Off: turn it on and restart")
                            : t("Off: turn it on")
                      }
                      className={styles.switch}
                      disabled={isBusy}
                      onClick={() => turn(one)}
                    />
                  )}
                  <Button
                    small
                    kind="quiet"
                    disabled={isBusy}
                    aria-label={`${one.secret ? t("Replace") : t("Edit")} ${one.name}`}
                    onClick={() => setEdited(one.name)}
                  >
                    {one.secret ? t("Replace") : t("Edit")}
                  </Button>
                  <IconButton
                    icon="clear"
                    label={t("Remove {name}", { name: one.name })}
                    disabled={isBusy}
                    onClick={() => remove(one.name)}
                  />
                </span>
                {one.note && <span className={styles.note}>{visible(one.note)}</span>}
              </>
            )}
          </li>
        ))}
      </ul>
      {isPasting && (
        <EnvDialog
          client={client}
          projectId={projectId}
          preset={preset}
          onClose={() => setPasting(false)}
          onDone={(said) => run(t("Saving…"), () => Promise.resolve(`${said} ${saved}`))}
        />
      )}
    </section>
  );
}

function shown(t: Translate, value: string | null): ReactNode {
  return value === "" ? <span className={styles.empty}>{t("empty")}</span> : visible(value ?? "");
}
