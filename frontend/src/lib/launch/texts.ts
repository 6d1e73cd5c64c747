import { createContext, useContext } from "react";

/** The fixed texts of the launch panel, in English. What the service and the preview say stays as it is. */
export const LAUNCH_TEXTS = {
  starting: "Starting",
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
export type LaunchTexts = Partial<Record<LaunchText, string>>;

const Texts = createContext<LaunchTexts>({});

export const LaunchTextsProvider = Texts.Provider;

/** The texts of the launch panel around, those of the host first. */
export function useLaunchTexts(): Record<LaunchText, string> {
  return { ...LAUNCH_TEXTS, ...useContext(Texts) };
}
