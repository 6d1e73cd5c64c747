import type { ReactNode } from "react";

import type { Verdict } from "../api/replay";
import { useTranslate, english, type Untranslated } from "../texts/translate";
import panel from "../ui/panel.module.css";

export const TONES: Record<Verdict, "good" | "info" | "warn" | "bad"> = {
  same: "good",
  noisy: "info",
  changed: "warn",
  broke: "bad",
};

export const VERDICT_WORDS: Record<Verdict, Untranslated> = {
  same: english("same"),
  noisy: english("noisy"),
  changed: english("changed"),
  broke: english("broke"),
};

const TITLES: Record<Verdict, Untranslated> = {
  same: english("The same response"),
  noisy: english("It differs only in values that change every time, such as ids and times"),
  changed: english("A different response"),
  broke: english("It fails now, but did not before"),
};

/** The result of comparing two answers. */
export function VerdictBadge({ verdict }: { verdict: Verdict | null }): ReactNode {
  const t = useTranslate();
  if (verdict === null) return <span className={panel.badge}>{t("not compared")}</span>;
  return (
    <span className={panel.badge} data-tone={TONES[verdict]} title={t(TITLES[verdict])}>
      {t(VERDICT_WORDS[verdict])}
    </span>
  );
}
