import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { comparePresets, type PresetDifference, type ProjectEnvironment } from "../api/settings";
import { useTranslate, type Translate, english } from "../texts/translate";
import { Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import panel from "../ui/panel.module.css";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./settings.module.css";

const STATES = {
  same: english("same"),
  differs: english("differs"),
  only_a: english("only in the first"),
  only_b: english("only in the second"),
} as const;

/** Two presets, side by side; of a secret only whether it differs. */
export function ComparePresets(props: { client: PreviewClient; environment: ProjectEnvironment }): ReactNode {
  const t = useTranslate();
  const { client, environment } = props;
  const names = environment.presets.map((one) => one.name);
  const [pair, setPair] = useState<readonly [string, string]>(["", names[0] ?? ""]);
  const [isOpen, setOpen] = useState(false);
  // A preset may have been removed meanwhile.
  const [a = "", b = ""] = pair.map((one) => (names.includes(one) ? one : ""));
  const loaded = useLoad(isOpen ? `${a} ${b} ${environment.revision}` : null, (signal) =>
    comparePresets(client, environment.project_id, a || null, b || null, signal),
  );
  const differing = loaded.value?.filter((one) => one.state !== "same");
  const choose = (label: string, value: string, onValue: (value: string) => void): ReactNode => (
    <select
      className={controls.field}
      aria-label={label}
      value={value}
      onChange={(event) => onValue(event.target.value)}
    >
      <option value="">{t("Project")}</option>
      {names.map((one) => (
        <option key={one} value={one}>
          {one}
        </option>
      ))}
    </select>
  );
  return (
    <details className={styles.details} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t("Compare presets")}</summary>
      <div className={panel.actions}>
        {choose(t("First"), a, (value) => setPair([value, b]))}
        <span className={panel.fact}>{t("and")}</span>
        {choose(t("Second"), b, (value) => setPair([a, value]))}
      </div>
      {loaded.problem && (
        <div className={panel.pad}>
          <Notice tone="bad">{loaded.problem.message}</Notice>
        </div>
      )}
      {differing?.length === 0 && <p className={panel.hint}>{t("Both have the same settings.")}</p>}
      {differing !== undefined && differing.length > 0 && (
        <div className={styles.tableBox}>
          <table className={styles.table}>
            <thead>
              <tr>
                <th scope="col">{t("Name")}</th>
                <th scope="col">{a || t("Project")}</th>
                <th scope="col">{b || t("Project")}</th>
              </tr>
            </thead>
            <tbody>
              {differing.map((one) => (
                <tr key={one.name}>
                  <th scope="row">{visible(one.name)}</th>
                  {one.secret ? (
                    <td colSpan={2}>{t("secret, {state}", { state: t(STATES[one.state]) })}</td>
                  ) : (
                    <>
                      <td>{side(t, one, "a")}</td>
                      <td>{side(t, one, "b")}</td>
                    </>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

function side(t: Translate, one: PresetDifference, which: "a" | "b"): ReactNode {
  const value = one[which];
  if (one.state === (which === "a" ? "only_b" : "only_a")) return <span className={styles.empty}>{t("not set")}</span>;
  return visible(typeof value === "string" ? value : JSON.stringify(value));
}
