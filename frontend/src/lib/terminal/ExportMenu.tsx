import type { ReactNode } from "react";

import type { ExportFormat } from "../api/types";
import { choiceOf } from "../logs/exportQuery";
import { isUnfiltered, type LogFilter } from "../logs/view";
import { Menu } from "./Menu";
import { useTexts } from "./texts";

const NAMES: [ExportFormat, string][] = [
  ["text", "Text"],
  ["jsonl", "JSON Lines"],
  ["csv", "CSV"],
];

/** The log as a file, as the service has it: also what this page does not hold. */
export function ExportMenu(props: { filter: LogFilter; onExport: (format: ExportFormat) => void }): ReactNode {
  const texts = useTexts();
  return (
    <Menu
      icon="download"
      label={texts.export}
      hint={hintOf(props.filter)}
      items={NAMES.map(([format, label]) => ({ label, act: () => props.onExport(format) }))}
    />
  );
}

function hintOf(filter: LogFilter): string {
  if (isUnfiltered(filter)) return "All lines that are kept";
  if (choiceOf(filter) === null) return "All stored lines: a file can be limited by level";
  return "Lines that pass the filter";
}
