import { type ReactNode, useState } from "react";

import type { LogLine } from "../api/types";
import { clock, plain } from "../logs/text";
import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import { count } from "../ui/format";
import panel from "../ui/panel.module.css";
import answerStyles from "./answer.module.css";

/** More are folded. */
const OPEN_LINES = 6;
/** The log has all of them. */
const MAX_LINES = 200;

interface LogLinesProps {
  lines: readonly LogLine[];
  /** Whether the program told which lines they are; else they are those that came meanwhile. */
  isExact: boolean;
  onShow: (seq: number) => void;
}

/** What the log says of one request. */
export function LogLines({ lines, isExact, onShow }: LogLinesProps): ReactNode {
  const t = useTranslate();
  const [isOpen, setOpen] = useState<boolean | null>(null);
  const [first] = lines;
  if (!first) return null;
  const shown = lines.slice(0, MAX_LINES);
  const open = isOpen ?? lines.length <= OPEN_LINES;
  return (
    <section className={answerStyles.said} aria-label={t("Log lines")}>
      <div className={answerStyles.saidHead}>
        <button type="button" className={answerStyles.fold} aria-expanded={open} onClick={() => setOpen(!open)}>
          {count(t, lines.length, "{count} log line", "{count} log lines")}
        </button>
        <span className={panel.fact}>{isExact ? t("of this request") : t("while it ran")}</span>
        <Button small kind="quiet" icon="terminal" onClick={() => onShow(first.seq)}>
          {t("Show in the log")}
        </Button>
      </div>
      {open && (
        <ol
          className={answerStyles.saidLines}
          tabIndex={0}
          aria-label={count(t, lines.length, "{count} log line", "{count} log lines")}
        >
          {shown.map((line) => (
            <li key={line.seq} data-level={line.level}>
              <time dateTime={line.timestamp}>{clock(line.timestamp)}</time> {plain(line.message)}
            </li>
          ))}
          {lines.length > MAX_LINES && (
            <li>
              {t("… and {lines}, in the log", {
                lines: count(t, lines.length - MAX_LINES, "{count} more line", "{count} more lines"),
              })}
            </li>
          )}
        </ol>
      )}
    </section>
  );
}
