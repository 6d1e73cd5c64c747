import { blockingPreviews, longestLifeS, type Problem } from "../api/problem";
import type { Translate } from "../texts/translate";
import { count, duration } from "../ui/format";
import { visible } from "../ui/visible";

/** What a person can do about a problem. */
export type WayOut =
  | { kind: "stop"; generationId: string; previewId: string; isThis: boolean }
  | { kind: "again" }
  | { kind: "sign-in" }
  /** Say in the settings how the project starts. */
  | { kind: "settings" }
  | { kind: "none" };

export interface Explanation {
  sentence: string;
  /** Further facts, one per line. */
  facts: string[];
  ways: WayOut[];
}

/** Any error of the contract as a sentence with the ways out of it. */
export function explain(
  t: Translate,
  problem: Problem,
  generationId: string,
  nameOf: (generationId: string) => string = (id) => id,
): Explanation {
  const facts = factsOf(t, problem);
  const blocking = blockingPreviews(problem);
  switch (problem.code) {
    case "already_running":
    case "preview_limit_reached":
      return {
        sentence: takenSentence(
          t,
          problem,
          blocking.map((one) => nameOf(one.generationId)),
        ),
        facts,
        ways: blocking.map((one) => ({ kind: "stop", ...one, isThis: one.generationId === generationId })),
      };
    case "unauthenticated":
      return { sentence: t("You are no longer signed in."), facts: [], ways: [{ kind: "sign-in" }] };
    case "invalid_generation":
      return {
        sentence: problem.message,
        facts,
        ways: [{ kind: "missing_files" in problem.details ? "settings" : "none" }],
      };
    case "project_mismatch":
    case "forbidden":
    case "generation_not_found":
      return { sentence: problem.message, facts, ways: [{ kind: "none" }] };
    default:
      return {
        sentence: longestSentence(t, problem) ?? problem.message,
        facts,
        ways: [{ kind: problem.isTemporary ? "again" : "none" }],
      };
  }
}

/** The service names ids; people know names. */
function takenSentence(t: Translate, problem: Problem, names: readonly string[]): string {
  const { limit } = problem.details;
  if (problem.code !== "preview_limit_reached" || names.length === 0 || typeof limit !== "number")
    return problem.message;
  const taken = names.map((name) => `“${name}”`).join(", ");
  const setting = typeof problem.details.setting === "string" ? problem.details.setting : null;
  const raise = setting === null ? "" : t(" The service’s operator can raise the limit with {setting}.", { setting });
  return t("Limit reached: {previews} ({taken}). Stop one to launch this.{raise}", {
    previews: count(t, limit, "{count} running preview", "{count} running previews"),
    taken,
    raise,
  });
}

/** A refused extension, without the service's word for the kind of account. */
function longestSentence(t: Translate, problem: Problem): string | null {
  const longest = longestLifeS(problem);
  if (longest === null) return null;
  const life = duration(longest).replace(/ 00 (min|s)$/, "");
  return t("This preview already has the maximum lifetime of {life}. Launch it again when it has ended.", { life });
}

/** What the sentence does not say already. */
function factsOf(t: Translate, { details, message }: Problem): string[] {
  const facts: string[] = [];
  const missing: unknown[] = Array.isArray(details.missing_files) ? details.missing_files : [];
  const untold = missing.map(String).filter((one) => !message.includes(one));
  if (untold.length > 0) facts.push(t("Missing: {untold}", { untold: untold.join(", ") }));
  if (typeof details.requirement === "string" && !message.includes(details.requirement))
    facts.push(t("Requirement: {requirement}", { requirement: details.requirement }));
  if (typeof details.path === "string" && !message.includes(details.path))
    facts.push(t("File: {path}", { path: details.path }));
  return facts.map(visible);
}
