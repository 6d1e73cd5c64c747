import { type ReactNode, useState } from "react";

import { useRole } from "../together/role";
import { useTranslate } from "../texts/translate";
import { Button, classes, IconButton } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import { NAME, written } from "./references";
import type { Variables } from "./useVariables";
import { SecretChoice } from "./SecretChoice";
import styles from "./variables.module.css";

/** The variables of requests, to read and to change. */
export function VariableTable({ variables }: { variables: Variables }): ReactNode {
  const t = useTranslate();
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const [isSecret, setSecret] = useState(false);
  const action = useAction();
  const canChange = useRole() === "owner";
  const isName = NAME.test(name.trim());
  const save = (): void =>
    void action.run(t("Saving…"), async () => {
      await variables.set(name.trim(), value, isSecret && variables.isShared);
      setName("");
      setValue("");
      setSecret(false);
      return t("Saved.");
    });
  const remove = (one: string): void =>
    void action.run(t("Deleting…"), async () => {
      await variables.remove(one);
      return t("Deleted.");
    });
  const list = variables.list ?? [];
  return (
    <section aria-label={t("Variables")} className={styles.part}>
      <p className={styles.hint}>
        <b>{t("Variables")}</b>{" "}
        {t("Write {example} in a request to use the value from here.", { example: written("name") })}{" "}
        {variables.isShared
          ? t("Guests who may send requests see the values, but not the secrets.")
          : t("Kept in this browser, without secrets and files.")}
      </p>
      {canChange && (
        <div className={styles.line}>
          <input
            className={classes(controls.field, styles.name)}
            aria-label={t("Name of the variable")}
            aria-invalid={name !== "" && !isName}
            placeholder={t("name")}
            maxLength={64}
            spellCheck={false}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
          <input
            className={classes(controls.field, styles.value)}
            type={isSecret ? "password" : "text"}
            autoComplete="off"
            aria-label={t("Value of the variable")}
            placeholder={t("value")}
            maxLength={16_384}
            spellCheck={false}
            value={value}
            onChange={(event) => setValue(event.target.value)}
            onKeyDown={(event) => {
              if (event.key !== "Enter") return;
              // Enter would send the request.
              event.preventDefault();
              if (isName) save();
            }}
          />
          {variables.isShared && <SecretChoice isSecret={isSecret} onChange={setSecret} />}
          <Button small disabled={!isName || action.busy !== null} onClick={save}>
            {t("Set")}
          </Button>
        </div>
      )}
      {name !== "" && !isName && (
        <p className={styles.problem}>
          {t("Begin the name with a letter or an underscore. Use only letters, digits, underscores, dots and hyphens.")}
        </p>
      )}
      {variables.problem !== null && <p className={styles.hint}>{variables.problem}</p>}
      <News action={action} />
      {list.length > 0 && (
        <ul className={styles.list}>
          {list.map((one) => (
            <li key={one.name} className={styles.row}>
              <code className={styles.rowName}>{visible(one.name)}</code>
              <span className={styles.rowValue}>{one.value === null ? t("secret") : visible(one.value)}</span>
              {canChange && (
                <>
                  <IconButton
                    icon="sliders"
                    label={t("Change {name}", { name: visible(one.name) })}
                    onClick={() => {
                      setName(one.name);
                      setValue(one.value ?? "");
                      setSecret(one.secret);
                    }}
                  />
                  <IconButton
                    icon="close"
                    label={t("Delete {name}", { name: visible(one.name) })}
                    disabled={action.busy !== null}
                    onClick={() => remove(one.name)}
                  />
                </>
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
