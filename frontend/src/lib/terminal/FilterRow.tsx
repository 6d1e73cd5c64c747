import type { ReactNode } from "react";

import type { Level, Source } from "../api/types";
import { EVERYTHING, hasLevel, isUnfiltered, type LogFilter, LEVELS, SOURCES } from "../logs/view";
import { Button } from "../ui/controls";
import styles from "./rows.module.css";
import { useTexts } from "./texts";

/** Which levels and whose lines are shown. */
export function FilterRow({
  filter,
  onFilter,
}: {
  filter: LogFilter;
  onFilter: (filter: LogFilter) => void;
}): ReactNode {
  const texts = useTexts();
  const levelWords: Record<Level, string> = {
    DEBUG: texts.debug,
    INFO: texts.info,
    WARNING: texts.warnings,
    ERROR: texts.errors,
  };
  const sourceWords: Record<Source, string> = { subprocess: texts.program, system: texts.service };
  return (
    <div className={styles.row}>
      <Chips
        legend={texts.levels}
        all={LEVELS}
        words={levelWords}
        chosen={LEVELS.filter((level) => hasLevel(filter, level))}
        onChoose={(levels) => onFilter({ ...filter, levels })}
      />
      <Chips
        legend={texts.from}
        all={SOURCES}
        words={sourceWords}
        chosen={filter.sources}
        onChoose={(sources) => onFilter({ ...filter, sources })}
      />
      {!isUnfiltered(filter) && (
        <Button small kind="quiet" onClick={() => onFilter(EVERYTHING)}>
          {texts.showAll}
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
