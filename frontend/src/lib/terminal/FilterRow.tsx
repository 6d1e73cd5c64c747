import type { ReactNode } from "react";

import type { Level, Source } from "../api/types";
import { EVERYTHING, hasLevel, isUnfiltered, type LogFilter, LEVELS, SOURCES } from "../logs/view";
import { Button } from "../ui/controls";
import styles from "./rows.module.css";

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
      <Chips
        legend="Levels"
        all={LEVELS}
        words={LEVEL_WORDS}
        chosen={LEVELS.filter((level) => hasLevel(filter, level))}
        onChoose={(levels) => onFilter({ ...filter, levels })}
      />
      <Chips
        legend="From"
        all={SOURCES}
        words={SOURCE_WORDS}
        chosen={filter.sources}
        onChoose={(sources) => onFilter({ ...filter, sources })}
      />
      {!isUnfiltered(filter) && (
        <Button small kind="quiet" onClick={() => onFilter(EVERYTHING)}>
          Show all
        </Button>
      )}
    </div>
  );
}

interface ChipsProps<T extends string> {
  legend: string;
  all: readonly T[];
  words: Record<T, string>;
  chosen: readonly T[];
  onChoose: (chosen: T[]) => void;
}

function Chips<T extends string>({ legend, all, words, chosen, onChoose }: ChipsProps<T>): ReactNode {
  return (
    <fieldset className={styles.chips}>
      <legend>{legend}</legend>
      {all.map((one) => (
        <button
          key={one}
          type="button"
          className={styles.chip}
          data-kind={one}
          aria-pressed={chosen.includes(one)}
          onClick={() => onChoose(toggled(chosen, one))}
        >
          {words[one]}
        </button>
      ))}
    </fieldset>
  );
}

function toggled<T>(list: readonly T[], one: T): T[] {
  return list.includes(one) ? list.filter((other) => other !== one) : [...list, one];
}
