import type { Flag, FlagArm, FlagContent, FlagRule } from "../../api/flags";
import { visible } from "../../ui/visible";

/** Shares of the users that a new value gets one after the other, in percent. */
export const STEPS = [5, 25, 50, 100] as const;
/** Flags whose values launches keep, so that they can be compared. */
const COMPARED = ["isolation", "warm", "tracing", "capture"];

export const isCompared = (flag: Flag): boolean => COMPARED.includes(flag.name);

export const contentOf = ({ value, rules, reason }: Flag): FlagContent => ({ value, rules, reason });

/** The value of everybody whom no rule concerns. */
export const restOf = (flag: Flag, content: FlagContent): string => content.value ?? flag.default;

/** `container for 5 % of users, only tier pro`. */
export function ruleWords(rule: FlagRule): string {
  const parts: string[] = [];
  if (rule.users.length > 0) parts.push(named(rule.users, "user", "users"));
  if (rule.tiers.length > 0) parts.push(named(rule.tiers, "tier", "tiers"));
  if (rule.projects.length > 0) parts.push(named(rule.projects, "project", "projects"));
  const whom = parts.join(" and ");
  if (rule.percent === null) return `${visible(rule.value)} for ${whom || "everyone"}`;
  return `${visible(rule.value)} for ${rule.percent} % of ${rule.by}s${whom && `, only ${whom}`}`;
}

const FEW = 3;

function named(ids: readonly string[], one: string, many: string): string {
  const shown = ids.slice(0, FEW).map((id) => visible(id));
  const more = ids.length - shown.length;
  return `${ids.length === 1 ? one : many} ${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** The flag's rules in order, then the value of everyone else. */
export function flagWords(flag: Flag, content: FlagContent): string[] {
  const rest = restOf(flag, content);
  const whom = content.rules.length > 0 ? "everyone else" : "everyone";
  return [...content.rules.map(ruleWords), `${visible(rest)} for ${whom}${content.value === null ? " (default)" : ""}`];
}

export interface Canary {
  value: string;
  /** Its share now, in percent. */
  percent: number;
  /** The place of its rule. */
  place: number;
}

/** The value that is being given to a growing share: the first rule whose only condition is a percentage. */
export function canaryOf(flag: Flag): Canary | null {
  const place = flag.rules.findIndex(isShare);
  const rule = flag.rules[place];
  return rule ? { value: rule.value, percent: rule.percent ?? 0, place } : null;
}

const isShare = (rule: FlagRule): boolean =>
  rule.percent !== null && rule.users.length + rule.tiers.length + rule.projects.length === 0;

/** The flag with a value's share of the users; a first step comes after the other rules, as in `preview rollout canary`. */
export function withShare(flag: Flag, value: string, percent: number): FlagContent {
  const content = contentOf(flag);
  const place = flag.rules.findIndex((rule) => isShare(rule) && rule.value === value);
  const rule: FlagRule = { value, users: [], tiers: [], projects: [], percent, by: "user" };
  if (place < 0) return { ...content, rules: [...content.rules, rule] };
  return { ...content, rules: content.rules.map((one, at) => (at === place ? { ...one, percent } : one)) };
}

/** The flag with the value for everyone, and without the rule of its share. */
export function finished(flag: Flag, canary: Canary): FlagContent {
  const rules = flag.rules.filter((_, at) => at !== canary.place);
  return { ...contentOf(flag), value: canary.value === flag.default ? null : canary.value, rules };
}

/** Why a value's share should not grow now, in a sentence; null if it may. */
export function whyNot(canary: Canary | null, arms: readonly FlagArm[]): string | null {
  if (canary === null || canary.percent === 0) return null;
  const mine = arms.find((arm) => arm.value === canary.value);
  if (!mine || mine.launches === 0) return `No launch with ${visible(canary.value)} has a result yet.`;
  const others = arms.filter((arm) => arm !== mine);
  const launches = others.reduce((sum, arm) => sum + arm.launches, 0);
  const failed = others.reduce((sum, arm) => sum + arm.failed, 0);
  if (launches === 0 || mine.failed * launches <= failed * mine.launches) return null;
  return `${visible(canary.value)} fails more often: ${mine.failed} of ${mine.launches} launches, against ${failed} of ${launches} without it.`;
}

/** Ids from a text, separated by commas, spaces or lines; each once. */
export function idsOf(text: string): string[] {
  return [...new Set(text.split(/[\s,;]+/).filter((one) => one !== ""))];
}
