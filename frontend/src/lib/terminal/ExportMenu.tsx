import type { ReactNode } from "react";

import type { ExportFormat } from "../api/types";
import { choiceOf } from "../logs/exportQuery";
import { isUnfiltered, type LogFilter } from "../logs/view";
import { useTranslate, type Translate, english, type Untranslated } from "../texts/translate";
import { Menu, type MenuItem } from "./Menu";
import { useTexts } from "./texts";

const NAMES: (readonly [ExportFormat, Untranslated])[] = [
  ["text", english("Text")],
  ["jsonl", english("JSON Lines")],
  ["csv", english("CSV")],
];

interface ExportMenuProps {
  filter: LogFilter;
  /** Whether terms of the filter language are in force too. */
  hasTerms?: boolean;
  onExport: (format: ExportFormat, isWhole: boolean) => void;
  onCopy: () => void;
  onSaveText: () => void;
  onSaveJson: () => void;
  /** Copies the address of this view; left out where the address does not have it. */
  onLink?: (() => void) | undefined;
}

/** All ways to take lines along: a file of what the service has, or what this page has loaded. */
export function ExportMenu(props: ExportMenuProps): ReactNode {
  const t = useTranslate();
  const texts = useTexts();
  const more: MenuItem[] = [];
  if (props.hasTerms || !isUnfiltered(props.filter))
    more.push({ label: texts.exportWhole, act: () => props.onExport("jsonl", true) });
  more.push({ label: texts.copy, act: props.onCopy });
  more.push({ label: texts.saveText, act: props.onSaveText });
  more.push({ label: texts.saveJson, act: props.onSaveJson });
  if (props.onLink) more.push({ label: texts.copyLink, act: props.onLink });
  return (
    <Menu
      icon="download"
      label={texts.export}
      hint={hintOf(t, props.filter, props.hasTerms ?? false)}
      items={NAMES.map(([format, label]): MenuItem => ({
        label: t(label),
        act: () => props.onExport(format, false),
      })).concat(more)}
    />
  );
}

function hintOf(t: Translate, filter: LogFilter, hasTerms: boolean): string {
  if (isUnfiltered(filter) && !hasTerms) return t("All stored lines");
  if (choiceOf(filter) === null) return t("All stored lines (a download cannot be limited to these levels)");
  return t("Lines that match the filter");
}
