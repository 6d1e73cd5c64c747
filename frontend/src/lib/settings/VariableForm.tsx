import { type ReactNode, type SubmitEvent, useState } from "react";

import type { SettingsVariable } from "../api/settings";
import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { looksSecret } from "./names";
import styles from "./settings.module.css";

interface VariableFormProps {
  name: string;
  /** The variable that is edited; a new one without. */
  known?: SettingsVariable;
  isBusy: boolean;
  onSave: (name: string, value: string, isSecret: boolean) => void;
  onCancel: () => void;
}

/** One variable being written. A secret's value is never shown, also while it is typed. */
export function VariableForm(props: VariableFormProps): ReactNode {
  const t = useTranslate();
  const { known } = props;
  const [name, setName] = useState(props.name);
  const [value, setValue] = useState(known?.value ?? "");
  const [chosen, setChosen] = useState<boolean | null>(known ? known.secret : null);
  const isSecret = chosen ?? looksSecret(name);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    props.onSave(name.trim(), value, isSecret);
  };
  return (
    <form
      className={styles.form}
      aria-label={known ? t("Change {name}", { name }) : t("New variable")}
      autoComplete="off"
      onSubmit={submit}
      onKeyDown={(event) => event.key === "Escape" && props.onCancel()}
    >
      <input
        className={controls.field}
        aria-label={t("Name")}
        placeholder={t("NAME")}
        required
        autoFocus={!props.name}
        readOnly={known !== undefined}
        maxLength={128}
        pattern="[A-Za-z_][A-Za-z0-9_]*"
        title={t("Letters, digits and _")}
        spellCheck={false}
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <input
        className={controls.field}
        aria-label={t("Value")}
        placeholder={isSecret && known ? t("New value") : t("value")}
        required={isSecret}
        autoFocus={Boolean(props.name)}
        type={isSecret ? "password" : "text"}
        autoComplete={isSecret ? "new-password" : "off"}
        spellCheck={false}
        value={value}
        onChange={(event) => setValue(event.target.value)}
      />
      <label className={styles.secret}>
        <input
          type="checkbox"
          checked={isSecret}
          disabled={known?.secret === true}
          onChange={(event) => setChosen(event.target.checked)}
        />
        {t("Secret")}
      </label>
      <Button small kind="primary" type="submit" disabled={props.isBusy}>
        {t("Save")}
      </Button>
      <Button small onClick={props.onCancel}>
        {t("Cancel")}
      </Button>
    </form>
  );
}
