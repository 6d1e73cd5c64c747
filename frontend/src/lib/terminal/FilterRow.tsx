import type { ReactNode } from "react";

import type { Level, Source } from "../api/types";
import { type LogFilter, LEVELS, SOURCES } from "../logs/view";
import styles from "./terminal.module.css";

const LEVEL_WORDS: Record<Level, string> = { DEBUG: "Debug", INFO: "Info", WARNING: "Warnings", ERROR: "Errors" };
const SOURCE_WORDS: Record<Source, string> = { subprocess: "Program", system: "Service" };

/** Which levels and whose lines are shown. */
export function FilterRow({
  filter,
  onFilter,
}: {
  filter: LogFilter;
  onFilter: (filter: LogFilter) => void;
}): ReactNode {
  return (
    <div className={styles.row}>
      <fieldset className={styles.chips}>
        <legend>Levels</legend>
        {LEVELS.map((level) => (
          <button
            key={level}
            type="button"
            className={styles.chip}
            data-level={level}
            aria-pressed={filter.levels.includes(level)}
            onClick={() => onFilter({ ...filter, levels: toggled(filter.levels, level) })}
          >
            {LEVEL_WORDS[level]}
          </button>
        ))}
      </fieldset>
      <fieldset className={styles.chips}>
        <legend>From</legend>
        {SOURCES.map((source) => (
          <button
            key={source}
            type="button"
            className={styles.chip}
            aria-pressed={filter.sources.includes(source)}
            onClick={() => onFilter({ ...filter, sources: toggled(filter.sources, source) })}
          >
            {SOURCE_WORDS[source]}
          </button>
        ))}
      </fieldset>
    </div>
  );
}

function toggled<T>(list: readonly T[], one: T): T[] {
  return list.includes(one) ? list.filter((other) => other !== one) : [...list, one];
}
