import type { ReactNode } from "react";

import { useTranslate } from "../texts/translate";
import styles from "./variables.module.css";

interface SecretChoiceProps {
  isSecret: boolean;
  onChange: (isSecret: boolean) => void;
}

/** Whether the value of a variable is a secret. */
export function SecretChoice({ isSecret, onChange }: SecretChoiceProps): ReactNode {
  const t = useTranslate();
  return (
    <label className={styles.secret}>
      <input type="checkbox" checked={isSecret} onChange={(event) => onChange(event.target.checked)} /> {t("Secret")}
    </label>
  );
}
