import { createContext, useContext, useMemo } from "react";

import { type Texts, useTranslate, type Untranslated } from "../texts/translate";

/** Short names of fixed texts of the launch panel, with these texts. What the service and the preview say stays as it is. */
export const LAUNCH_TEXTS = {
  starting: "Starting",
  queued: "Queued",
  running: "Running",
  restarting: "Restarting",
  stopping: "Stopping",
  stopped: "Stopped",
  failed: "Failed",
  notLaunched: "Not launched",
  unknown: "Unknown",
  launch: "Launch",
  launchAgain: "Launch again",
  launchingNow: "Launching…",
  restart: "Restart",
  restartingNow: "Restarting…",
  stop: "Stop",
  stoppingNow: "Stopping…",
  cancel: "Cancel",
  details: "Details",
  settings: "Settings",
  health: "Health",
  healthy: "Healthy",
  unhealthy: "Unhealthy",
  checking: "Checking…",
  up: "Up",
  endsIn: "Ends in",
  memory: "Memory",
  cpu: "CPU",
  longer: "+30 min",
  extend: "Extend by 30 minutes",
  longest: "Maximum lifetime reached",
  copyAddress: "Copy the address",
  open: "Open",
  share: "Share",
  howToReach: "How to reach it",
  steps: "Steps of the launch",
  inProgress: "in progress…",
  notReached: "not reached",
  launchHint: "Click Launch to start it. Its URL and logs appear here.",
  seeLog: "See the log for its last lines.",
} as const;

export type LaunchText = keyof typeof LAUNCH_TEXTS;
/** Replacements for the launch panel: by a short name, or by the English text. */
export type LaunchTexts = Partial<Record<LaunchText, string>> & Texts;

const Named = createContext<LaunchTexts>({});

export const LaunchTextsProvider = Named.Provider;

/** The texts of the launch panel around, those of the host first. */
export function useLaunchTexts(): Record<LaunchText, string> {
  const t = useTranslate();
  const named = useContext(Named);
  return useMemo(() => {
    const all = Object.entries(LAUNCH_TEXTS) as unknown as [LaunchText, Untranslated][];
    return Object.fromEntries(all.map(([name, text]) => [name, named[name] ?? t(text)])) as Record<LaunchText, string>;
  }, [t, named]);
}
