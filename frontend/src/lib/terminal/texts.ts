import { createContext, useContext, useMemo } from "react";

import { type Texts, useTranslate, type Untranslated } from "../texts/translate";

/** Short names of fixed texts of the terminal, with these texts. What the service and the preview say stays as it is. */
export const TERMINAL_TEXTS = {
  log: "Log",
  tools: "Log tools",
  lines: "Lines of the log",
  loading: "Loading…",
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  ended: "Ended",
  notConnected: "Not connected",
  tryNow: "Try now",
  tryAgain: "Try again",
  search: "Search (Ctrl+F)",
  searchField: "Search the log",
  matchCase: "Match case",
  regex: "Regular expression",
  previousMatch: "Previous match (Shift+Enter)",
  nextMatch: "Next match (Enter)",
  closeSearch: "Close the search (Escape)",
  noMatch: "No match",
  filter: "Filter by level and source",
  filterField: "Filter the log",
  levels: "Levels",
  debug: "Debug",
  info: "Info",
  warnings: "Warnings",
  errors: "Errors",
  from: "From",
  program: "Program",
  service: "Service",
  only: "Stream",
  stderr: "Standard error",
  showAll: "Show all",
  timestamps: "Timestamps",
  wrap: "Wrap long lines",
  export: "Export the log",
  exportWhole: "All lines, without the filter",
  copyLink: "Copy a link to this view",
  more: "View and clear",
  copy: "Copy visible lines",
  saveText: "Loaded lines as text",
  saveJson: "Loaded lines as JSON Lines",
  clear: "Clear",
  foldTracebacks: "Fold tracebacks and progress",
  timeline: "Timeline",
  timelineOfAll: "Timeline of all lines",
  timelineOfLoaded: "Timeline of the loaded lines",
  allTime: "All time",
  newLines: "New lines",
  linesAround: "Lines around matches",
  allLines: "All lines",
  onlyMatches: "Only matches",
  healthChecks: "Health checks",
  noLinesMatch: "No lines match",
  cleared: "Cleared; new lines appear here.",
  showEarlier: "Show earlier lines",
  nothingYet: "Nothing to show yet",
  launchHint: "Launch the preview: everything it prints appears here as it happens.",
  waiting: "Waiting for the first line…",
  loadingOlder: "Loading earlier lines…",
  toNewest: "To the newest line",
} as const;

export type TerminalText = keyof typeof TERMINAL_TEXTS;
/** Replacements for the terminal: by a short name, or by the English text. */
export type TerminalTexts = Partial<Record<TerminalText, string>> & Texts;

const Named = createContext<TerminalTexts>({});

export const NamedTextsProvider = Named.Provider;

/** The texts of the terminal around, those of the host first. */
export function useTexts(): Record<TerminalText, string> {
  const t = useTranslate();
  const named = useContext(Named);
  return useMemo(() => {
    const all = Object.entries(TERMINAL_TEXTS) as unknown as [TerminalText, Untranslated][];
    return Object.fromEntries(all.map(([name, text]) => [name, named[name] ?? t(text)])) as Record<
      TerminalText,
      string
    >;
  }, [t, named]);
}

/** Tools of the terminal: those of its toolbar, and the timeline below it. */
export const TERMINAL_TOOLS = ["search", "filter", "timestamps", "wrap", "export", "more", "timeline"] as const;
export type TerminalTool = (typeof TERMINAL_TOOLS)[number];
