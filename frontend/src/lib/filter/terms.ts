import { english, type Untranslated, type Translate } from "../texts/translate";

/** A term or group of a filter, and whether it is in force. */
export interface Term {
  text: string;
  /** What it selects; empty until the service has explained it. */
  sentence: string;
  isOn: boolean;
}

/** Terms that a page keeps; the service refuses filters that are longer. */
export const MAX_TERMS = 30;

/** The filter that the terms in force make. */
export function filterOf(terms: readonly Term[]): string {
  return joined(terms.filter((one) => one.isOn));
}

/** The filter that all these terms make. A group is one term, with its parentheses. */
export function joined(terms: readonly Term[]): string {
  return terms.map((one) => one.text).join(" ");
}

/** Terms as the address keeps them: those that are switched off begin with `~`, as no term does. */
export function toAddress(terms: readonly Term[]): string[] {
  return terms.map((one) => `${one.isOn ? "" : "~"}${one.text}`);
}

export function fromAddress(words: readonly string[]): Term[] {
  return words
    .filter((one) => one !== "" && one !== "~")
    .slice(0, MAX_TERMS)
    .map((one) => ({ text: one.replace(/^~/, ""), sentence: "", isOn: !one.startsWith("~") }));
}

/** The ranges of time that a menu offers: a term each. */
export const RANGES: readonly (readonly [term: string, label: Untranslated])[] = [
  ["", english("All time")],
  ["since:5m", english("Last 5 minutes")],
  ["since:1h", english("Last hour")],
  ["since:24h", english("Last day")],
  ["reload:last", english("Since the last reload")],
];

const RANGE_KEYS: ReadonlySet<string> = new Set(["since", "until", "reload"]);

/** Whether a term chooses a range of time. */
export function isRange({ text }: Term): boolean {
  return RANGE_KEYS.has(text.split(":", 1)[0] ?? "");
}

/** The range that is chosen: a term of the menu, the empty text for all time, or null for another one. */
export function rangeOf(terms: readonly Term[]): string | null {
  const own = terms.filter((one) => one.isOn && isRange(one));
  const [first] = own;
  if (!first) return "";
  return own.length === 1 && RANGES.some(([term]) => term === first.text) ? first.text : null;
}

/** The same terms with another range of time. */
export function withRange(t: Translate, terms: readonly Term[], range: string): Term[] {
  const others = terms.filter((one) => !isRange(one));
  const label = RANGES.find(([term]) => term === range)?.[1];
  return range === "" ? others : [...others, { text: range, sentence: label ? t(label) : "", isOn: true }];
}

/** The same terms with a range that has a beginning and an end. */
export function withSpan(terms: readonly Term[], span: readonly [since: string, until: string]): Term[] {
  return [...terms.filter((one) => !isRange(one)), ...span.map((text) => ({ text, sentence: "", isOn: true }))];
}
