import type { Origin, RecordTiming, Sender } from "../api/records";

const ORIGINS: Record<Origin, string> = {
  browser: "browser",
  socket: "WebSocket",
  call: "request panel",
  replay: "replay",
  probe: "probe",
  check: "check",
  direct: "own port",
  import: "imported",
};

const SENDERS: Record<Sender, string> = {
  owner: "owner",
  viewer: "viewer",
  agent: "agent",
  service: "service",
  unknown: "unknown",
};

/** `owner, browser`: who sent a request, and how it arrived. */
export function fromWords({ who, origin }: { who: string; origin: string }): string {
  const words: Partial<Record<string, string>> = { ...ORIGINS, ...SENDERS };
  return `${words[who] ?? "unknown"}, ${words[origin] ?? "unknown"}`;
}

export interface Span {
  name: string;
  from: number;
  to: number;
}

/** The phases of a request, one after the other. */
export function spansOf(timing: RecordTiming): Span[] {
  const moments: [string, number | null][] = [
    ["access check", timing.queued_ms],
    ["connect", timing.connected_ms],
    ["first byte", timing.first_byte_ms],
    ["response", timing.ended_ms],
  ];
  const spans: Span[] = [];
  let from = 0;
  for (const [name, moment] of moments) {
    if (moment === null) continue;
    const to = Math.max(from, moment);
    spans.push({ name, from, to });
    from = to;
  }
  return spans;
}
