import { type Draft, type Field, keepable } from "./draft";

/** A request under a name. */
export interface SavedRequest {
  name: string;
  draft: Draft;
}

export const MAX_SAVED = 50;
const MAX_NAME_CHARS = 80;
const MAX_BODY_CHARS = 100_000;
const PREFIX = "preview:saved-requests:";
const VARIABLE = /^(?:[A-Za-z-]{1,20} )?\{\{ *[A-Za-z_][\w.-]{0,63} *\}\}$/;
const SECRET = /authorization|cookie|token|secret|password|api-?key/i;

/** The saved requests of a generation in this browser, by name. */
export function loadSaved(generationId: string): SavedRequest[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(PREFIX + generationId) ?? "[]");
    return Array.isArray(kept) ? kept.filter(isSaved).slice(0, MAX_SAVED) : [];
  } catch {
    return [];
  }
}

/** Keep these; rejects with a sentence if that is not possible. */
export function storeSaved(generationId: string, saved: readonly SavedRequest[]): void {
  try {
    localStorage.setItem(PREFIX + generationId, JSON.stringify(saved));
  } catch {
    throw new Error("This browser’s storage for saved requests is full: delete one of them.");
  }
}

/** The request as it may be kept: without secrets and files. Throws a sentence if it may not. */
export function savable(name: string, draft: Draft): SavedRequest {
  const title = name.trim().slice(0, MAX_NAME_CHARS);
  if (!title) throw new Error("Give the request a name.");
  if (draft.body.length > MAX_BODY_CHARS)
    throw new Error(
      `The body is too long to be saved: shorten it to at most ${MAX_BODY_CHARS.toLocaleString("en")} characters.`,
    );
  const kept = keepable(draft);
  // A variable is no secret, only its value may be.
  const without = (one: Field): Field => (VARIABLE.test(one.value) ? one : { ...one, value: "" });
  kept.headers = kept.headers.map((one) => (SECRET.test(one.name) ? without(one) : one));
  if (kept.cookies) kept.cookies = kept.cookies.map(without);
  return { name: title, draft: kept };
}

/** The list with one more request, or another one of this name. */
export function withSaved(saved: readonly SavedRequest[], name: string, draft: Draft): SavedRequest[] {
  const made = savable(name, draft);
  const others = saved.filter((one) => one.name !== made.name);
  if (others.length >= MAX_SAVED) throw new Error(`At most ${MAX_SAVED} requests can be saved: delete one of them.`);
  return [...others, made].sort((a, b) => a.name.localeCompare(b.name));
}

function isSaved(one: unknown): one is SavedRequest {
  if (typeof one !== "object" || one === null) return false;
  const { name, draft } = one as Record<string, unknown>;
  return typeof name === "string" && isDraft(draft);
}

/** Whether this can be edited as a request: what is stored may be of another version of the page, or of another client. */
export function isDraft(draft: unknown): draft is Draft {
  if (typeof draft !== "object" || draft === null) return false;
  const { method, path, body, pathFields, query, headers, cookies, form, credentials } = draft as Record<
    string,
    unknown
  >;
  const lists = [pathFields, query, headers].every(areFields);
  const others = [cookies, form, credentials].every((one) => one === undefined || Array.isArray(one));
  return lists && others && [method, path, body].every((text) => typeof text === "string");
}

function areFields(fields: unknown): boolean {
  return (
    Array.isArray(fields) &&
    fields.every((one) => {
      if (typeof one !== "object" || one === null) return false;
      const { name, value } = one as Record<string, unknown>;
      return typeof name === "string" && typeof value === "string";
    })
  );
}
