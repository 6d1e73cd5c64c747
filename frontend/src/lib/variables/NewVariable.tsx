import { type ReactNode, useState } from "react";

import { useTranslate } from "../texts/translate";
import { Button, classes } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import { NAME, nameFor, SECRET } from "./references";
import type { Variables } from "./useVariables";
import { SecretChoice } from "./SecretChoice";
import styles from "./variables.module.css";

interface NewVariableProps {
  /** The key of the value in the response. */
  from: string;
  value: string;
  variables: Variables;
  onDone: () => void;
}

/** Keeps a value of a response as a variable. */
export function NewVariable({ from, value, variables, onDone }: NewVariableProps): ReactNode {
  const t = useTranslate();
  const [name, setName] = useState(nameFor(from));
  const [isSecret, setSecret] = useState(variables.isShared && SECRET.test(from));
  const action = useAction();
  const isName = NAME.test(name);
  const save = (): void =>
    void action.run(t("Saving…"), async () => {
      await variables.set(name, value, isSecret);
      onDone();
      return undefined;
    });
  return (
    <div className={styles.fromAnswer} role="group" aria-label={t("Keep the value as a variable")}>
      <input
        className={classes(controls.field, styles.name)}
        aria-label={t("Name of the variable")}
        aria-invalid={!isName}
        autoFocus
        maxLength={64}
        spellCheck={false}
        value={name}
        onChange={(event) => setName(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onDone();
          if (event.key !== "Enter") return;
          // The response is inside the request's form: Enter would send it.
          event.preventDefault();
          if (isName) save();
        }}
      />
      <span className={styles.rowValue}>= {visible(value.slice(0, 200))}</span>
      {variables.isShared && <SecretChoice isSecret={isSecret} onChange={setSecret} />}
      <Button small disabled={!isName || action.busy !== null} onClick={save}>
        {t("Set")}
      </Button>
      <Button small kind="quiet" onClick={onDone}>
        {t("Cancel")}
      </Button>
      <News action={action} />
    </div>
  );
}
