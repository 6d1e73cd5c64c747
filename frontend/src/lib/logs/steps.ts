import type { ToldStep } from "../api/types";

export type StepState = ToldStep["state"];

export interface LaunchStep {
  name: string;
  label: string;
  state: StepState;
  /** A few words of the service. */
  detail: string | null;
  /** Milliseconds that it took. */
  elapsedMs: number | null;
  /** Milliseconds since the launch when it ended. */
  atMs: number | null;
  /** Whether it took over what an earlier launch had made. */
  reused: boolean;
}

const LABELS: Readonly<Record<string, string>> = {
  files: "Files",
  environment: "Dependencies",
  process: "Start",
  answers: "Health check",
};
/** What is shown before the service has told anything. */
const FIRST: readonly LaunchStep[] = Object.entries(LABELS).map(([name, label]) => ({
  name,
  label,
  state: "waiting",
  detail: null,
  elapsedMs: null,
  atMs: null,
  reused: false,
}));

/** How far a launch is, from what the service tells of its steps. */
export function launchSteps(told: readonly ToldStep[] | undefined): readonly LaunchStep[] {
  if (!told || told.length === 0) return FIRST;
  const began = Date.parse(told[0]?.started_at ?? "");
  return told.map(({ name, state, detail, reused, started_at: startedAt, elapsed_ms: elapsedMs }) => ({
    name,
    label: LABELS[name] ?? name.charAt(0).toUpperCase() + name.slice(1),
    state,
    detail,
    elapsedMs,
    atMs: startedAt === null || elapsedMs === null ? null : Date.parse(startedAt) - began + elapsedMs,
    reused,
  }));
}
