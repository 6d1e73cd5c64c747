import type { LogLine } from "../api/types";

export type StepState = "waiting" | "running" | "done" | "failed";

export interface LaunchStep {
  name: string;
  label: string;
  state: StepState;
  /** What the service said of it. */
  detail: string | null;
  /** Milliseconds since the launch when it was done. */
  atMs: number | null;
}

/** The steps that every launch has, by what the service says when they are done. */
const STEPS: readonly { name: string; label: string; said: RegExp }[] = [
  { name: "files", label: "Files", said: /^files ready in (.+)$/ },
  { name: "environment", label: "Environment", said: /^environment ready in (.+)$/ },
  { name: "process", label: "Process", said: /^process \d+ started, (.+)$/ },
  { name: "ready", label: "Answers", said: /^ready in (.+)$/ },
];
/** Steps that only some launches have name themselves: `step migrations: done in 1.20 s`. */
const NAMED = /^step ([^:]{1,40}): (running|done|failed)\b(:?)\s*(?:in )?(.*)$/;
const MAX_NAMED = 12;
/** Step lines kept; a launch has a dozen. */
const MAX_SAID = 200;

/** How far a launch is, by what the service's own lines say, in whatever order one gets to see them. */
export class LaunchSteps {
  readonly #said = new Map<number, LogLine>();
  #first: LogLine | null = null;
  #steps: readonly LaunchStep[] = fresh();

  get list(): readonly LaunchStep[] {
    return this.#steps;
  }

  /** Take lines in; whether something changed. */
  take(lines: readonly LogLine[]): boolean {
    let isNew = false;
    for (const line of lines) {
      if (line.source !== "system" || this.#said.has(line.seq)) continue;
      if (this.#first === null || line.seq < this.#first.seq) this.#first = line;
      if (this.#said.size >= MAX_SAID || !isStep(line.message)) continue;
      this.#said.set(line.seq, line);
      isNew = true;
    }
    if (!isNew) return false;
    const before = this.#steps;
    this.#steps = this.#derive();
    return JSON.stringify(before) !== JSON.stringify(this.#steps);
  }

  reset(): void {
    this.#said.clear();
    this.#first = null;
    this.#steps = fresh();
  }

  #derive(): LaunchStep[] {
    const steps = fresh();
    const startedAt = Date.parse(this.#first?.timestamp ?? "");
    for (const line of [...this.#said.values()].sort((one, other) => one.seq - other.seq)) {
      apply(steps, line.message, Date.parse(line.timestamp) - startedAt);
    }
    return steps;
  }
}

function isStep(message: string): boolean {
  return NAMED.test(message) || STEPS.some((step) => step.said.test(message));
}

function apply(steps: LaunchStep[], message: string, atMs: number): void {
  const named = NAMED.exec(message);
  if (named) {
    const [, name = "", state, colon, rest = ""] = named;
    // `failed with exit code 1` is a sentence with its verb, `failed: no such table` is one without.
    const detail = state === "failed" && colon === "" && rest ? `failed ${rest}` : rest;
    applyNamed(steps, name, state as StepState, detail, atMs);
    return;
  }
  const known = STEPS.find((step) => step.said.test(message));
  const at = steps.findIndex((step) => step.name === known?.name);
  const step = steps[at];
  if (!known || !step || step.state === "done") return;
  steps[at] = { ...step, state: "done", detail: known.said.exec(message)?.[1] ?? "", atMs };
  // What came before it has come to its end, whether or not that was said.
  steps.forEach((one, index) => {
    if (index < at && one.state === "running") steps[index] = { ...one, state: "done", detail: "", atMs };
  });
}

/** A named step stands where it was first heard of: before the first of the usual ones that is not done. */
function applyNamed(steps: LaunchStep[], name: string, state: StepState, detail: string, atMs: number): void {
  const said = { state, detail, atMs: state === "done" ? atMs : null };
  const at = steps.findIndex((step) => step.name === `step ${name}`);
  const step = steps[at];
  if (step) {
    steps[at] = { ...step, ...said };
    return;
  }
  if (steps.length >= STEPS.length + MAX_NAMED) return;
  const next = steps.findIndex((one) => one.state === "waiting");
  const label = name.charAt(0).toUpperCase() + name.slice(1);
  steps.splice(next === -1 ? steps.length : next, 0, { name: `step ${name}`, label, ...said });
}

function fresh(): LaunchStep[] {
  return STEPS.map(({ name, label }) => ({ name, label, state: "waiting", detail: null, atMs: null }));
}
