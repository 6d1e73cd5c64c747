import type { ReactNode } from "react";

import type { Level, Source } from "../api/types";
import { EVERYTHING, hasLevel, isUnfiltered, type LogFilter, LEVELS, SOURCES } from "../logs/view";
import type { TimelineCounts } from "../logs/timeline";
import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import { count } from "../ui/format";
import styles from "./rows.module.css";
import { useTexts } from "./texts";

const STREAMS = ["stderr"] as const;

/** Which levels and whose lines are shown. */
export function FilterRow({
  filter,
  counts,
  onFilter,
}: {
  filter: LogFilter;
  /** Lines that are loaded, by level, source and stream. */
  counts: Pick<TimelineCounts, "levels" | "sources" | "streams">;
  onFilter: (filter: LogFilter) => void;
}): ReactNode {
  const texts = useTexts();
  const t = useTranslate();
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
        counts={counts.levels}
        chosen={LEVELS.filter((level) => hasLevel(filter, level))}
        onChoose={(levels) => onFilter({ ...filter, levels })}
      />
      <Chips
        legend={texts.from}
        all={SOURCES}
        words={sourceWords}
        counts={counts.sources}
        chosen={filter.sources}
        onChoose={(sources) => onFilter({ ...filter, sources })}
      />
      <Chips
        legend={texts.only}
        all={STREAMS}
        words={{ stderr: texts.stderr }}
        notes={{
          stderr: t("Only lines that are known to come from standard error. Node’s own crash report is not included."),
        }}
        counts={counts.streams}
        chosen={filter.onlyStderr ? STREAMS : []}
        onChoose={(streams) => onFilter({ ...filter, onlyStderr: streams.length > 0 })}
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
  /** More about one, in its title. */
  notes?: Readonly<Record<T, string>>;
  counts: Readonly<Record<T, number>>;
  chosen: readonly T[];
  onChoose: (chosen: T[]) => void;
}

function Chips<T extends string>({ legend, all, words, notes, counts, chosen, onChoose }: ChipsProps<T>): ReactNode {
  const t = useTranslate();
  const loaded = (one: T): string =>
    t("{counts} of the loaded lines", { counts: count(t, counts[one], "{count} line", "{count} lines") });
  return (
    <fieldset className={styles.chips}>
      <legend>{legend}</legend>
      {all.map((one) => (
        <button
          key={one}
          type="button"
          className={styles.chip}
          data-kind={one}
          data-count={counts[one].toLocaleString("en")}
          aria-pressed={chosen.includes(one)}
          aria-label={words[one]}
          title={notes ? `${loaded(one)}. ${notes[one]}` : loaded(one)}
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
