import type { Origin, RecordTiming, Sender } from "../api/records";
import { type Translate, english, type Untranslated } from "../texts/translate";

const ORIGINS: Record<Origin, Untranslated> = {
  browser: english("browser"),
  socket: english("WebSocket"),
  call: english("request panel"),
  replay: english("replay"),
  probe: english("probe"),
  check: english("check"),
  direct: english("own port"),
  import: english("imported"),
};

const SENDERS: Record<Sender, Untranslated> = {
  owner: english("owner"),
  viewer: english("viewer"),
  agent: english("agent"),
  service: english("service"),
  unknown: english("unknown"),
};

/** `owner, browser`: who sent a request, and how it arrived. */
export function fromWords(t: Translate, { who, origin }: { who: string; origin: string }): string {
  const words: Partial<Record<string, Untranslated>> = { ...ORIGINS, ...SENDERS };
  const unknown = english("unknown");
  return `${t(words[who] ?? unknown)}, ${t(words[origin] ?? unknown)}`;
}

export interface Span {
  /** What it is called, and a name that stays the same. */
  word: string;
  name: string;
  from: number;
  to: number;
}

/** The phases of a request, one after the other. */
export function spansOf(t: Translate, timing: RecordTiming): Span[] {
  const moments: [string, string, number | null][] = [
    ["access check", t("access check"), timing.queued_ms],
    ["connect", t("connect"), timing.connected_ms],
    ["first byte", t("first byte"), timing.first_byte_ms],
    ["response", t("response"), timing.ended_ms],
  ];
  const spans: Span[] = [];
  let from = 0;
  for (const [name, word, moment] of moments) {
    if (moment === null) continue;
    const to = Math.max(from, moment);
    spans.push({ name, word, from, to });
    from = to;
  }
  return spans;
}
