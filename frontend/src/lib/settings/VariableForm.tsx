import { type ReactNode, type SubmitEvent, useState } from "react";

import type { SettingsVariable } from "../api/settings";
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
      aria-label={known ? `Change ${name}` : "New variable"}
      autoComplete="off"
      onSubmit={submit}
      onKeyDown={(event) => event.key === "Escape" && props.onCancel()}
    >
      <input
        className={controls.field}
        aria-label="Name"
        placeholder="NAME"
        required
        autoFocus={!props.name}
        readOnly={known !== undefined}
        maxLength={128}
        pattern="[A-Za-z_][A-Za-z0-9_]*"
        title="Letters, digits and _"
        spellCheck={false}
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <input
        className={controls.field}
        aria-label="Value"
        placeholder={isSecret && known ? "New value" : "value"}
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
        Secret
      </label>
      <Button small kind="primary" type="submit" disabled={props.isBusy}>
        Save
      </Button>
      <Button small onClick={props.onCancel}>
        Cancel
      </Button>
    </form>
  );
}
