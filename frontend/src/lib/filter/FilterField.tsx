import { type ReactNode, type SubmitEvent, useId, useState } from "react";

import { useTranslate } from "../texts/translate";
import { IconButton } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { visible } from "../ui/visible";
import styles from "./filter.module.css";
import { RANGES, rangeOf, withRange } from "./terms";
import type { Terms } from "./useTerms";

interface FilterFieldProps {
  terms: Terms;
  /** What is filtered, for screen readers. */
  label: string;
  /** A filter as an example. */
  example: string;
  /** Whether the field is shown; the terms are shown in any case. */
  isOpen?: boolean;
}

/** A field for the filter language, and its terms as buttons that switch them off. */
export function FilterField({ terms, label, example, isOpen = true }: FilterFieldProps): ReactNode {
  const t = useTranslate();
  const [text, setText] = useState("");
  const [isOn, setOn] = useState(false);
  const errorId = useId();
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (text.trim() === "" || isOn) return;
    setOn(true);
    if (await terms.add(text.trim())) setText("");
    setOn(false);
  };
  if (!isOpen && terms.terms.length === 0) return null;
  return (
    <form className={styles.filter} aria-label={label} onSubmit={(event) => void submit(event)}>
      {isOpen && (
        <div className={styles.line}>
          <input
            type="text"
            className={controls.field}
            aria-label={label}
            aria-invalid={terms.error !== null}
            aria-describedby={terms.error === null ? undefined : errorId}
            placeholder={example}
            autoCapitalize="off"
            autoComplete="off"
            spellCheck={false}
            value={text}
            onChange={(event) => {
              setText(event.target.value);
              if (terms.error !== null) terms.dismiss();
            }}
          />
          <IconButton icon="plus" label={t("Add to the filter (Enter)")} type="submit" disabled={text.trim() === ""} />
          <Range terms={terms} />
        </div>
      )}
      {terms.error !== null && (
        <p id={errorId} className={styles.error} role="alert">
          {terms.error}
        </p>
      )}
      <Chips terms={terms} />
    </form>
  );
}

function Range({ terms }: { terms: Terms }): ReactNode {
  const t = useTranslate();
  const range = rangeOf(terms.terms);
  return (
    <select
      className={controls.field}
      aria-label={t("Time range")}
      value={range ?? "other"}
      onChange={(event) => terms.set(withRange(t, terms.terms, event.target.value))}
    >
      {range === null && (
        <option value="other" disabled>
          {t("As in the filter")}
        </option>
      )}
      {RANGES.map(([term, label]) => (
        <option key={term} value={term}>
          {t(label)}
        </option>
      ))}
    </select>
  );
}

function Chips({ terms }: { terms: Terms }): ReactNode {
  const t = useTranslate();
  if (terms.terms.length === 0) return null;
  const change = (at: number, isOn: boolean): void =>
    terms.set(terms.terms.map((one, index) => (index === at ? { ...one, isOn } : one)));
  return (
    <ul className={styles.chips} aria-label={t("Terms of the filter")}>
      {terms.terms.map((one, at) => (
        <li key={one.text} className={styles.chip} data-on={one.isOn}>
          <button
            type="button"
            aria-pressed={one.isOn}
            title={[visible(one.sentence), one.isOn ? t("Click to switch it off.") : t("Click to switch it on.")]
              .join(" ")
              .trim()}
            onClick={() => change(at, !one.isOn)}
          >
            {visible(one.text)}
          </button>
          <IconButton
            icon="close"
            label={t("Remove {text}", { text: visible(one.text) })}
            onClick={() => terms.set(terms.terms.filter((_, index) => index !== at))}
          />
        </li>
      ))}
      <li>
        <button type="button" className={styles.clear} onClick={() => terms.set([])}>
          {t("Clear")}
        </button>
      </li>
    </ul>
  );
}
