import { type ReactNode, useState } from "react";

import type { Draft } from "../request/draft";
import { useRole } from "../together/role";
import { useTranslate } from "../texts/translate";
import { Button, classes } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import { namesOf, unsetIn, written } from "./references";
import type { Variables } from "./useVariables";
import styles from "./variables.module.css";

interface DraftVariablesProps {
  draft: Draft;
  onDraft: (draft: Draft) => void;
  variables: Variables;
}

/** The variables of the request that is written: their values, and fields for those that have none. */
export function DraftVariables({ draft, onDraft, variables }: DraftVariablesProps): ReactNode {
  const t = useTranslate();
  const canChange = useRole() === "owner";
  const asText = namesOf({ ...draft, isLiteral: false });
  if (asText.length === 0) return null;
  if (draft.isLiteral)
    return (
      <p className={styles.hint}>
        {t("Sent as text: {names}.", { names: asText.map(written).join(", ") })}{" "}
        <Button small kind="quiet" onClick={() => onDraft({ ...draft, isLiteral: false })}>
          {t("Use variables")}
        </Button>
      </p>
    );
  const unset = new Set(unsetIn(draft, variables.known));
  return (
    <fieldset className={styles.part}>
      <legend className={styles.title}>{t("Variables")}</legend>
      {variables.list === null ? (
        <p className={styles.hint}>{variables.problem ?? t("Loading…")}</p>
      ) : (
        asText.map((name) =>
          unset.has(name) && canChange ? (
            <Unset key={name} name={name} variables={variables} />
          ) : (
            <div key={name} className={styles.row}>
              <code className={styles.rowName}>{name}</code>
              <span className={styles.rowValue}>
                {unset.has(name)
                  ? t("no value")
                  : visible(variables.known.values.get(name)?.slice(0, 200) ?? t("secret"))}
              </span>
            </div>
          ),
        )
      )}
      {unset.size > 0 && (
        <div>
          <Button small kind="quiet" onClick={() => onDraft({ ...draft, isLiteral: true })}>
            {t("Send the braces as text")}
          </Button>
        </div>
      )}
    </fieldset>
  );
}

function Unset({ name, variables }: { name: string; variables: Variables }): ReactNode {
  const t = useTranslate();
  const [value, setValue] = useState("");
  const action = useAction();
  const save = (): void =>
    void action.run(t("Saving…"), async () => {
      await variables.set(name, value, false);
      return undefined;
    });
  return (
    <div className={styles.line}>
      <code className={styles.rowName}>{name}</code>
      <input
        className={classes(controls.field, styles.value)}
        aria-label={t("Value of {name}", { name: written(name) })}
        placeholder={t("value")}
        data-unset
        maxLength={16_384}
        spellCheck={false}
        value={value}
        onChange={(event) => setValue(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          // Enter would send the request.
          event.preventDefault();
          save();
        }}
      />
      <Button small disabled={action.busy !== null} onClick={save}>
        {t("Set")}
      </Button>
      <News action={action} />
    </div>
  );
}
