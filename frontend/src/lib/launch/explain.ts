import { blockingPreviews, longestLifeS, type Problem } from "../api/problem";
import { duration } from "../ui/format";
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
  problem: Problem,
  generationId: string,
  nameOf: (generationId: string) => string = (id) => id,
): Explanation {
  const facts = factsOf(problem);
  const blocking = blockingPreviews(problem);
  switch (problem.code) {
    case "already_running":
    case "preview_limit_reached":
      return {
        sentence: takenSentence(
          problem,
          blocking.map((one) => nameOf(one.generationId)),
        ),
        facts,
        ways: blocking.map((one) => ({ kind: "stop", ...one, isThis: one.generationId === generationId })),
      };
    case "unauthenticated":
      return { sentence: "You are no longer signed in.", facts: [], ways: [{ kind: "sign-in" }] };
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
        sentence: longestSentence(problem) ?? problem.message,
        facts,
        ways: [{ kind: problem.isTemporary ? "again" : "none" }],
      };
  }
}

/** The service names ids; people know names. */
function takenSentence(problem: Problem, names: readonly string[]): string {
  const { limit } = problem.details;
  if (problem.code !== "preview_limit_reached" || names.length === 0 || typeof limit !== "number")
    return problem.message;
  const taken = names.map((name) => `“${name}”`).join(", ");
  const setting = typeof problem.details.setting === "string" ? problem.details.setting : null;
  const raise = setting === null ? "" : ` The service’s operator can raise the limit with ${setting}.`;
  return `Limit reached: ${limit} running ${limit === 1 ? "preview" : "previews"} (${taken}). Stop one to launch this.${raise}`;
}

/** A refused extension, without the service's word for the kind of account. */
function longestSentence(problem: Problem): string | null {
  const longest = longestLifeS(problem);
  if (longest === null) return null;
  const life = duration(longest).replace(/ 00 (min|s)$/, "");
  return `This preview already has the maximum lifetime of ${life}. Launch it again when it has ended.`;
}

/** What the sentence does not say already. */
function factsOf({ details, message }: Problem): string[] {
  const facts: string[] = [];
  const missing: unknown[] = Array.isArray(details.missing_files) ? details.missing_files : [];
  const untold = missing.map(String).filter((one) => !message.includes(one));
  if (untold.length > 0) facts.push(`Missing: ${untold.join(", ")}`);
  if (typeof details.requirement === "string" && !message.includes(details.requirement))
    facts.push(`Requirement: ${details.requirement}`);
  if (typeof details.path === "string" && !message.includes(details.path)) facts.push(`File: ${details.path}`);
  return facts.map(visible);
}
