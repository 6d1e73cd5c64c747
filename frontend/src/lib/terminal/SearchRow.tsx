import { type KeyboardEvent, type ReactNode, useEffect, useRef } from "react";

import { useTranslate, type Translate } from "../texts/translate";
import { IconButton } from "../ui/controls";
import styles from "./rows.module.css";
import { useTexts } from "./texts";
import type { Search } from "./useSearch";

const CONTEXTS = [2, 5, 20];

/** The search: text or regular expression, how many lines have it, and the way from one to the next. */
export function SearchRow({ search, onClose }: { search: Search; onClose: () => void }): ReactNode {
  const t = useTranslate();
  const texts = useTexts();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  const { query, setQuery } = search;
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Enter") search.go(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") onClose();
    else return;
    event.preventDefault();
  };
  return (
    <div className={styles.row} role="search" aria-label={texts.searchField}>
      <div className={styles.searchField}>
        <input
          ref={field}
          type="text"
          value={query.text}
          placeholder={texts.searchField}
          aria-label={texts.searchField}
          aria-invalid={search.error !== null}
          spellCheck={false}
          onChange={(event) => setQuery({ ...query, text: event.target.value })}
          onKeyDown={key}
        />
        <Mode
          sign={t("Aa")}
          label={texts.matchCase}
          isOn={query.matchCase}
          onChange={(matchCase) => setQuery({ ...query, matchCase })}
        />
        <Mode sign=".*" label={texts.regex} isOn={query.regex} onChange={(regex) => setQuery({ ...query, regex })} />
      </div>
      <span className={styles.found} role="status" data-bad={search.error !== null}>
        {summary(t, search, texts.noMatch)}
      </span>
      <select
        aria-label={texts.linesAround}
        value={search.around ?? "all"}
        onChange={(event) => search.setAround(event.target.value === "all" ? null : Number(event.target.value))}
      >
        <option value="all">{texts.allLines}</option>
        <option value="0">{texts.onlyMatches}</option>
        {CONTEXTS.map((lines) => (
          <option key={lines} value={lines}>
            {t("Matches ± {lines} lines", { lines })}
          </option>
        ))}
      </select>
      <span className={styles.nav}>
        <IconButton icon="up" label={texts.previousMatch} disabled={search.total === 0} onClick={() => search.go(-1)} />
        <IconButton icon="down" label={texts.nextMatch} disabled={search.total === 0} onClick={() => search.go(1)} />
        <IconButton icon="close" label={texts.closeSearch} onClick={onClose} />
      </span>
    </div>
  );
}

interface ModeProps {
  sign: string;
  label: string;
  isOn: boolean;
  onChange: (isOn: boolean) => void;
}

function Mode({ sign, label, isOn, onChange }: ModeProps): ReactNode {
  return (
    <button
      type="button"
      className={styles.mode}
      aria-pressed={isOn}
      aria-label={label}
      title={label}
      onClick={() => onChange(!isOn)}
    >
      {sign}
    </button>
  );
}

function summary(t: Translate, { query, error, total, isMore, index }: Search, noMatch: string): string {
  if (error !== null) return error;
  if (!query.text) return "";
  if (total === 0) return noMatch;
  const all = `${total.toLocaleString("en")}${isMore ? "+" : ""}`;
  return index === -1
    ? `${all} ${total === 1 ? "line" : "lines"}`
    : t("{index} of {all}", { index: (index + 1).toLocaleString("en"), all });
}
