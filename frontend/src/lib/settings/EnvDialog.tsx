import { type ReactNode, type SubmitEvent, useState } from "react";

import type { PreviewClient } from "../api/client";
import { type ImportedEnv, importEnvironment } from "../api/settings";
import { useTranslate, english } from "../texts/translate";
import { Button } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import styles from "./settings.module.css";

const KINDS = { added: english("added"), changed: english("changed"), same: english("same") } as const;

interface EnvDialogProps {
  client: PreviewClient;
  projectId: string;
  preset: string | null;
  onClose: () => void;
  /** Called with a sentence when the variables are stored. */
  onDone: (said: string) => void;
}

/** A pasted `.env` text: first what it would change, then the change. */
export function EnvDialog(props: EnvDialogProps): ReactNode {
  const t = useTranslate();
  const [text, setText] = useState("");
  const [found, setFound] = useState<ImportedEnv | null>(null);
  const action = useAction();
  const send = (dryRun: boolean): void =>
    void action.run(dryRun ? t("Loading…") : t("Saving…"), async () => {
      const read = await importEnvironment(props.client, props.projectId, props.preset, text, dryRun);
      if (dryRun) setFound(read);
      else {
        props.onClose();
        props.onDone(
          t("{added} added, {changed} changed.", { added: read.added.length, changed: read.changed.length }),
        );
      }
      return undefined;
    });
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    send(found === null);
  };
  return (
    <Dialog title={t("Paste a .env file")} onClose={props.onClose}>
      <form className={panel.form} aria-label={t("A .env file")} onSubmit={submit}>
        <label>
          {t("Text")}
          <textarea
            className={controls.field}
            rows={9}
            required
            data-autofocus
            spellCheck={false}
            autoComplete="off"
            placeholder={"LOG_LEVEL=DEBUG\nSTRIPE_API_KEY=sk_…"}
            value={text}
            onChange={(event) => {
              setText(event.target.value);
              setFound(null);
            }}
          />
        </label>
        <News action={action} />
        {found && (
          <ul className={styles.changes} aria-label={t("Changes")}>
            {(["added", "changed", "same"] as const).flatMap((kind) =>
              found[kind].map((name) => (
                <li key={name}>
                  <span className={panel.badge} data-tone={kind === "same" ? undefined : "info"}>
                    {t(KINDS[kind])}
                  </span>
                  <span className={panel.mono}>{visible(name)}</span>
                  {found.secrets.includes(name) && <span className={panel.badge}>{t("secret")}</span>}
                </li>
              )),
            )}
            {found.added.length + found.changed.length + found.same.length === 0 && (
              <li>{t("No variables were found in the text.")}</li>
            )}
          </ul>
        )}
        <div className={controls.dialogButtons}>
          <Button onClick={props.onClose}>{t("Cancel")}</Button>
          <Button kind="primary" type="submit" disabled={action.busy !== null}>
            {found ? t("Set these") : t("Show changes")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
