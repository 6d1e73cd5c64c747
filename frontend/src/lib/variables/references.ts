import type { Draft, Field } from "../request/draft";
import type { Translate } from "../texts/translate";

/** A name of a variable, as the service takes it. */
export const NAME = /^[A-Za-z_][\w.-]{0,63}$/;
/** A name whose value is probably a secret. */
export const SECRET = /token|secret|password|passwd|api_?key|credential/i;
const REFERENCE = /\{\{ *([A-Za-z_][\w.-]{0,63}) *\}\}/g;

/** What is known of variables while a request is written. */
export interface Known {
  /** Values by name. */
  values: ReadonlyMap<string, string>;
  /** Names of those whose value only the service has. */
  secrets: ReadonlySet<string>;
}

/** The names of variables in a text, each once. */
export function namesIn(text: string): string[] {
  return [...new Set([...text.matchAll(REFERENCE)].map((found) => found[1] ?? ""))];
}

/** How a variable is written. */
export function written(name: string): string {
  return `{{${name}}}`;
}

/** The names of variables in a request, each once; none if its braces are sent as text. */
export function namesOf(draft: Draft): string[] {
  return draft.isLiteral
    ? []
    : namesIn([...loggedTexts(draft), ...encodedTexts(draft), ...plainTexts(draft)].join("\n"));
}

/** The request with the values that are known here. A value that has references itself is not filled again. */
export function filledDraft(draft: Draft, values: ReadonlyMap<string, string>): Draft {
  if (draft.isLiteral) return draft;
  const fill = (text: string): string => text.replace(REFERENCE, (whole, name: string) => values.get(name) ?? whole);
  const fields = (list: readonly Field[]): Field[] => list.map((one) => ({ ...one, value: fill(one.value) }));
  return {
    ...draft,
    path: fill(draft.path),
    pathFields: fields(draft.pathFields),
    query: fields(draft.query),
    headers: fields(draft.headers),
    body: fill(draft.body),
    ...(draft.cookies && { cookies: fields(draft.cookies) }),
    ...(draft.form && { form: draft.form.map((one) => ({ ...one, value: fill(one.value) })) }),
    ...(draft.secrets && {
      secrets: Object.fromEntries(Object.entries(draft.secrets).map(([scheme, one]) => [scheme, fill(one)])),
    }),
  };
}

/** The names in a request that have no value. */
export function unsetIn(draft: Draft, { values, secrets }: Known): string[] {
  return namesOf(draft).filter((name) => !values.has(name) && !secrets.has(name));
}

/** Whether the service has to put secrets into a request. */
export function needsService(draft: Draft, { secrets }: Known): boolean {
  return namesOf(draft).some((name) => secrets.has(name));
}

/** Why a request with variables cannot be sent yet; null when it can. */
export function variableProblem(t: Translate, draft: Draft, known: Known, isOwner: boolean): string | null {
  const unset = unsetIn(draft, known);
  if (unset.length > 0) return t("Set a value for {names}.", { names: unset.map(written).join(", ") });
  const secret = namesOf(draft).find((name) => known.secrets.has(name));
  if (secret === undefined) return null;
  if (!isOwner) return t("Only the owner of the preview can send the secret {name}.", { name: written(secret) });
  const isSecret = (text: string): string | undefined => namesIn(text).find((name) => known.secrets.has(name));
  const logged = isSecret(loggedTexts(draft).join("\n"));
  if (logged !== undefined)
    return t("{name} is a secret. Paths are logged: send it in a header or the body.", { name: written(logged) });
  const encoded = isSecret(encodedTexts(draft).join("\n"));
  if (encoded !== undefined)
    return t("{name} is a secret. Use it only in headers, the query or a text body.", {
      name: written(encoded),
    });
  if (isFilledTwice(draft, known)) {
    const plain = namesOf(draft).filter((name) => !known.secrets.has(name));
    const name = plain.find((one) => namesIn(unescaped(known.values.get(one) ?? "")).length > 0) ?? plain[0] ?? secret;
    return t(
      "The value of {name} contains another variable. It cannot be sent together with a secret: change the value.",
      {
        name: written(name),
      },
    );
  }
  return null;
}

/** Whether values would become references, which the service then fills: a program may have chosen the values. */
function isFilledTwice(draft: Draft, { values, secrets }: Known): boolean {
  const kept = referencesOf(draft).filter((name) => secrets.has(name));
  return referencesOf(filledDraft(draft, values)).length !== kept.length;
}

/** The names of all references that the service finds, as often as they occur. */
function referencesOf(draft: Draft): string[] {
  const text = [...loggedTexts(draft), ...encodedTexts(draft), ...plainTexts(draft)].join("\n");
  return [...unescaped(text).matchAll(REFERENCE)].map((found) => found[1] ?? "");
}

/** The text after it was read as JSON. */
function unescaped(text: string): string {
  return text.replace(/\\u([0-9a-f]{4})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

function loggedTexts(draft: Draft): string[] {
  return [draft.path, ...valuesOf(draft.pathFields)];
}

/** Texts that are encoded before the service sees them, so that it cannot put anything in. */
function encodedTexts(draft: Draft): string[] {
  const kind = draft.bodyKind ?? "text";
  const form = kind === "form" || kind === "multipart" ? (draft.form ?? []).filter((one) => !one.isFile) : [];
  const basic = (draft.credentials ?? []).filter((one) => one.kind === "basic");
  return [...form.map((one) => one.value), ...basic.map((one) => draft.secrets?.[one.scheme] ?? "")];
}

function plainTexts(draft: Draft): string[] {
  const basic = new Set((draft.credentials ?? []).filter((one) => one.kind === "basic").map((one) => one.scheme));
  const secrets = Object.entries(draft.secrets ?? {}).filter(([scheme]) => !basic.has(scheme));
  const fields = [...draft.query, ...draft.headers, ...(draft.cookies ?? [])];
  const body = (draft.bodyKind ?? "text") === "text" ? [draft.body] : [];
  return [...valuesOf(fields), ...secrets.map(([, one]) => one), ...body];
}

function valuesOf(fields: readonly Field[]): string[] {
  return fields.map((one) => one.value);
}

/** A name for a value of a response, by the key that it has there. */
export function nameFor(key: string): string {
  const name = key.replace(/[^\w.-]+/g, "_").slice(0, 64);
  return NAME.test(name) ? name : `value_${name}`.replace(/_+$/, "").slice(0, 64);
}
