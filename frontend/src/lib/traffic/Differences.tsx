import type { ReactNode } from "react";

import type { Difference } from "../api/replay";
import { useTranslate, type Translate } from "../texts/translate";
import { Button } from "../ui/controls";
import { count } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import styles from "./traffic.module.css";

const MOST = 100;
const MOST_CHARACTERS = 2_000;

interface DifferencesProps {
  differences: readonly Difference[];
  /** Names of the two sides. */
  before: string;
  after: string;
  /** Called to leave a path out from now on. */
  onIgnore?: (path: string) => void;
}

/** Differences of two answers, side by side. */
export function Differences({ differences, before, after, onIgnore }: DifferencesProps): ReactNode {
  const t = useTranslate();
  if (differences.length === 0) return null;
  const shown = differences.slice(0, MOST);
  return (
    <>
      <table className={styles.differences}>
        <thead>
          <tr>
            <th scope="col">{t("Where")}</th>
            <th scope="col">{before}</th>
            <th scope="col">{after}</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((one, at) => (
            <tr key={at}>
              <td>
                {visible(one.path)}
                {onIgnore && one.path.startsWith("$") && (
                  <Button small kind="quiet" onClick={() => onIgnore(one.path)}>
                    {t("Ignore")}
                  </Button>
                )}
              </td>
              <td>{valueOf(t, one.before)}</td>
              <td>{valueOf(t, one.after)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {differences.length > shown.length && (
        <p className={panel.hint}>
          {t("And {differences}.", {
            differences: count(
              t,
              differences.length - shown.length,
              "{count} more difference",
              "{count} more differences",
            ),
          })}
        </p>
      )}
    </>
  );
}

function valueOf(t: Translate, value: string | null): ReactNode {
  if (value === null) return <i className={panel.fact}>{t("missing")}</i>;
  return visible(value.length > MOST_CHARACTERS ? `${value.slice(0, MOST_CHARACTERS)}…` : value);
}
