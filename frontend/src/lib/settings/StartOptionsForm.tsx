import { type ReactNode, type SubmitEvent, useEffect, useRef, useState } from "react";

import type { EnvironmentChange, SettingsLayer } from "../api/settings";
import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import controls from "../ui/controls.module.css";
import panel from "../ui/panel.module.css";
import styles from "./settings.module.css";
import { changeOf, fieldsOf, FRAMEWORKS, isSame, type WantedOption, withWanted } from "./start";

interface StartOptionsFormProps {
  layer: SettingsLayer;
  isBusy: boolean;
  /** Option to set, such as one that detection has decided; null for none. */
  wanted?: WantedOption | null;
  onSave: (change: EnvironmentChange) => void;
}

/** How the project starts, where that differs from what detection decides. */
export function StartOptionsForm({ layer, isBusy, wanted = null, onSave }: StartOptionsFormProps): ReactNode {
  const t = useTranslate();
  const [fields, setFields] = useState(() => fieldsOf(layer));
  const [seen, setSeen] = useState<WantedOption | null>(null);
  if (wanted !== seen) {
    setSeen(wanted);
    if (wanted) setFields(withWanted(fields, wanted));
  }
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    const field = wanted && form.current?.elements.namedItem(wanted.key);
    if (field instanceof HTMLElement) field.focus();
  }, [wanted]);
  const set = (change: Partial<typeof fields>): void => setFields({ ...fields, ...change });
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    onSave(changeOf(fields, layer));
  };
  const isChanged = !isSame(fields, fieldsOf(layer));
  return (
    <section className={panel.section} aria-label={t("Start")}>
      <h4>{t("Start")}</h4>
      <form ref={form} className={panel.form} aria-label={t("Start options")} onSubmit={submit}>
        <div className={panel.pair}>
          <label>
            {t("Application")}
            <input
              className={controls.field}
              placeholder={t("as detected")}
              spellCheck={false}
              name="app"
              disabled={fields.command.trim() !== ""}
              value={fields.app}
              onChange={(event) => set({ app: event.target.value })}
            />
          </label>
          <label>
            {t("or command")}
            <input
              className={controls.field}
              placeholder={t("as detected")}
              spellCheck={false}
              name="command"
              disabled={fields.app.trim() !== ""}
              value={fields.command}
              onChange={(event) => set({ command: event.target.value })}
            />
          </label>
        </div>
        <div className={panel.pair}>
          <label>
            {t("Framework")}
            <select
              className={controls.field}
              name="framework"
              value={fields.framework}
              onChange={(event) => set({ framework: event.target.value })}
            >
              <option value="">{t("as detected")}</option>
              {[...new Set([...FRAMEWORKS, fields.framework])]
                .filter((one) => one !== "")
                .map((one) => (
                  <option key={one}>{one}</option>
                ))}
            </select>
          </label>
          <label>
            {t("Network")}
            <select
              className={controls.field}
              name="network"
              value={fields.network}
              onChange={(event) => set({ network: event.target.value })}
            >
              <option value="">{t("service default")}</option>
              <option value="none">{t("none")}</option>
              <option value="loopback-only">{t("loopback only")}</option>
              <option value="host">{t("host (everything this machine can reach)")}</option>
            </select>
          </label>
          <label>
            {t("Memory in MiB")}
            <input
              className={controls.field}
              type="number"
              min={32}
              max={1048576}
              placeholder={t("the service's limit")}
              value={fields.memory}
              onChange={(event) => set({ memory: event.target.value })}
            />
          </label>
        </div>
        <div className={panel.pair}>
          <label>
            {t("Working folder")}
            <input
              className={controls.field}
              placeholder={t("as detected")}
              spellCheck={false}
              name="directory"
              value={fields.directory}
              onChange={(event) => set({ directory: event.target.value })}
            />
          </label>
          <label>
            {t("Health path")}
            <input
              className={controls.field}
              placeholder={t("as detected")}
              spellCheck={false}
              name="health"
              value={fields.health}
              onChange={(event) => set({ health: event.target.value })}
            />
          </label>
        </div>
        <label className={panel.check}>
          <input type="checkbox" checked={fields.trace} onChange={(event) => set({ trace: event.target.checked })} />
          {t("Trace requests: show the SQL statements and outgoing requests of each request")}
        </label>
        <label className={panel.check}>
          <input
            type="checkbox"
            checked={fields.restarts}
            onChange={(event) => set({ restarts: event.target.checked })}
          />
          {t("After a crash, start the process again")}
        </label>
        <div className={styles.buttons}>
          <Button small kind="primary" type="submit" disabled={isBusy || !isChanged}>
            {t("Save")}
          </Button>
          {isChanged && (
            <Button small onClick={() => setFields(fieldsOf(layer))}>
              {t("Discard")}
            </Button>
          )}
        </div>
      </form>
    </section>
  );
}
