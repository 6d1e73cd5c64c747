import type { LogLine } from "../api/types";

export interface LaunchStep {
  name: "files" | "environment" | "process" | "ready";
  label: string;
  /** What the service said of it, once it is done. */
  detail: string | null;
  /** Milliseconds since the launch when it was done. */
  atMs: number | null;
}

const STEPS: readonly { name: LaunchStep["name"]; label: string; said: RegExp }[] = [
  { name: "files", label: "Files", said: /^files ready in (.+)$/ },
  { name: "environment", label: "Environment", said: /^environment ready in (.+)$/ },
  { name: "process", label: "Process", said: /^(?:process \d+ started, )(.+)$/ },
  { name: "ready", label: "Answers", said: /^ready in (.+)$/ },
];

/** How far a launch is, by what the service's own lines say. */
export class LaunchSteps {
  #steps: LaunchStep[] = fresh();
  #startedAt: number | null = null;

  get list(): readonly LaunchStep[] {
    return this.#steps;
  }

  /** Take lines in; whether something changed. */
  take(lines: readonly LogLine[]): boolean {
    let changed = false;
    for (const line of lines) {
      if (line.source !== "system") continue;
      this.#startedAt ??= Date.parse(line.timestamp);
      const at = STEPS.findIndex((step) => step.said.test(line.message));
      const step = this.#steps[at];
      if (!step || step.detail !== null) continue;
      const detail = STEPS[at]?.said.exec(line.message)?.[1] ?? "";
      const atMs = Date.parse(line.timestamp) - this.#startedAt;
      this.#steps = this.#steps.map((one) => (one === step ? { ...step, detail, atMs } : one));
      changed = true;
    }
    return changed;
  }

  reset(): void {
    this.#steps = fresh();
    this.#startedAt = null;
  }
}

function fresh(): LaunchStep[] {
  return STEPS.map(({ name, label }) => ({ name, label, detail: null, atMs: null }));
}
