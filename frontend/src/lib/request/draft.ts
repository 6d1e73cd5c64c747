import type { Endpoint, EndpointBody, EndpointCredential, EndpointParameter, ProxyRequest } from "../api/types";
import type { Translate } from "../texts/translate";
import { toBase64, writeMultipart } from "./multipart";
import { depthOf, MAX_DEPTH } from "./depth";

export interface Field {
  name: string;
  value: string;
  /** What the endpoint says of it: a type, or nothing for what the person has added. */
  type: string | null;
  required?: boolean;
  /** The values that it may have. */
  choices?: string[];
  /** What applies without a value. */
  fallback?: string;
  description?: string;
}

/** A field of a form. Bytes of a file are kept in this tab only. */
export interface FormField {
  name: string;
  value: string;
  isFile: boolean;
  file?: File;
  base64?: string;
}

export type BodyKind = "text" | "form" | "multipart" | "file";

/** A request as it is being written. */
export interface Draft {
  method: string;
  /** With `{name}` for parameters. */
  path: string;
  pathFields: Field[];
  query: Field[];
  headers: Field[];
  body: string;
  cookies?: Field[];
  bodyKind?: BodyKind;
  form?: FormField[];
  /** The whole body, for `file`. */
  file?: FormField;
  credentials?: EndpointCredential[];
  /** The source file that has the endpoint, and the line in it. */
  source?: { file: string; line: number };
  /** Values by scheme: a token, a key, or `user:password`. They are not kept in the history. */
  secrets?: Record<string, string>;
  /** `{{name}}` is sent as it is written, and is no variable. */
  isLiteral?: boolean;
}

export const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] as const;
const WITH_BODY = new Set(["POST", "PUT", "PATCH", "DELETE"]);

export function takesBody(method: string): boolean {
  return WITH_BODY.has(method);
}

export const EMPTY: Draft = { method: "GET", path: "/", pathFields: [], query: [], headers: [], body: "" };

/** A request to an endpoint, filled in from what is known of it. */
export function draftOf(endpoint: Endpoint): Draft {
  const described = endpoint.parameters ?? [];
  const of = (location: string): Field[] => described.filter((one) => one.location === location).map(fieldOf);
  const query = of("query");
  const body = bodyOf(endpoint);
  return {
    method: endpoint.method === "*" ? "GET" : endpoint.method,
    path: endpoint.path,
    pathFields: pathFields(endpoint.path, of("path")),
    query: query.length ? query : Object.entries(endpoint.query).map(([name, type]) => ({ name, value: "", type })),
    cookies: of("cookie"),
    credentials: endpoint.credentials ?? [],
    ...(endpoint.file && { source: { file: endpoint.file, line: endpoint.line ?? 1 } }),
    ...body,
    headers: [...of("header"), ...body.headers],
  };
}

function fieldOf(one: EndpointParameter): Field {
  const fallback = one.default === null ? "" : String(one.default);
  const sample = one.sample === null ? "" : String(one.sample);
  return {
    name: one.name,
    // The path needs a value, but a made-up text would only be a 404.
    value: one.required ? (one.location === "path" && sample === "string" ? "" : sample) : "",
    type: one.type,
    required: one.required || one.location === "path",
    choices: one.choices.map(String),
    fallback,
    description: one.description,
  };
}

function bodyOf(endpoint: Endpoint): Pick<Draft, "headers" | "body" | "bodyKind" | "form"> {
  const bodies = endpoint.bodies ?? [];
  const one = bodies.find(({ content_type }) => isJsonType(content_type)) ?? bodies[0];
  if (!takesBody(endpoint.method) || (!one && (endpoint.body === null || endpoint.body === undefined)))
    return { headers: [], body: "", bodyKind: "text", form: [] };
  if (!one)
    return {
      headers: [{ name: "Content-Type", value: "application/json", type: null }],
      body: JSON.stringify(example(endpoint.body), null, 2),
      bodyKind: "text",
      form: [],
    };
  const kind = kindOf(one.content_type);
  return {
    headers: kind === "multipart" ? [] : [{ name: "Content-Type", value: one.content_type, type: null }],
    body: kind === "text" ? textOf(one) : "",
    bodyKind: kind,
    form: kind === "form" || kind === "multipart" ? formOf(one) : [],
  };
}

function kindOf(type: string): BodyKind {
  if (/^multipart\//i.test(type)) return "multipart";
  if (/^application\/x-www-form-urlencoded/i.test(type)) return "form";
  return isJsonType(type) || /^text\/|[/+]xml\b/i.test(type) ? "text" : "file";
}

function textOf(one: EndpointBody): string {
  if (isJsonType(one.content_type)) return JSON.stringify(one.sample, null, 2);
  return typeof one.sample === "string" ? one.sample : "";
}

function formOf(one: EndpointBody): FormField[] {
  const sample = typeof one.sample === "object" && one.sample !== null && !Array.isArray(one.sample) ? one.sample : {};
  return Object.entries(sample).map(([name, value]) => {
    const isFile = one.files.includes(name);
    return { name, value: isFile ? "" : typeof value === "string" ? value : JSON.stringify(value), isFile };
  });
}

/** A parameter of a path. `{{name}}` is a variable. */
export const PATH_FIELD = /(?<!\{)\{([^{}/]+)\}(?!\})/g;

/** The parameters in a path, with the values that they have already. */
export function pathFields(path: string, before: readonly Field[]): Field[] {
  const names = [...path.matchAll(PATH_FIELD)].map((match) => (match[1] ?? "").replace(/:.*$/, ""));
  return [...new Set(names)].map(
    (name) => before.find((one) => one.name === name) ?? { name, value: "", type: "path", required: true },
  );
}

/** A skeleton of types as an example of values: `{"age": "integer"}` becomes `{"age": 0}`. Deeper than `MAX_DEPTH` it is null. */
export function example(skeleton: unknown, depth = 0): unknown {
  if (typeof skeleton === "object" && skeleton !== null) {
    if (depth >= MAX_DEPTH) return null;
    if (Array.isArray(skeleton)) return skeleton.map((one) => example(one, depth + 1));
    return Object.fromEntries(Object.entries(skeleton).map(([key, value]) => [key, example(value, depth + 1)]));
  }
  switch (skeleton) {
    case "integer":
    case "number":
      return 0;
    case "boolean":
      return false;
    case "null":
      return null;
    case "array":
      return [];
    case "object":
      return {};
    default:
      return typeof skeleton === "string" ? "" : skeleton;
  }
}

/** The path with its parameters put in; what has no value stays as it is. */
export function filledPath(draft: Draft): string {
  return draft.path.replace(PATH_FIELD, (whole, inner: string) => {
    const name = inner.replace(/:.*$/, "");
    const value = draft.pathFields.find((field) => field.name === name)?.value ?? "";
    if (!value) return whole;
    return inner.endsWith(":path") ? value.split("/").map(encodeURIComponent).join("/") : encodeURIComponent(value);
  });
}

/** Path and query as they go out, for showing and for copying. */
export function target(draft: Draft): string {
  const query = new URLSearchParams();
  for (const { name, value } of draft.query) if (name && value) query.append(name, value);
  const path = filledPath(draft);
  if (query.size === 0) return path;
  return `${path}${path.includes("?") ? "&" : "?"}${query.toString()}`;
}

/** Why a field cannot be sent as it is; null when it can. */
export function fieldProblem(t: Translate, field: Field): string | null {
  if (field.required && !field.value) return t("{name} is required.", { name: field.name });
  if (field.value && field.type === "integer" && !field.value.includes("{{") && !/^[+-]?\d+$/.test(field.value))
    return t("A whole number is expected.");
  return null;
}

/** Why it cannot be sent yet; null when it can. Only the path stops a request: the API may be tried with all else. */
export function obstacle(t: Translate, draft: Draft): string | null {
  const missing = draft.pathFields.find((field) => !field.value);
  if (missing) return t("{name} is required.", { name: missing.name });
  if (!draft.path.startsWith("/")) return t("The path must begin with a slash.");
  return null;
}

/** What is unusual about it; it can be sent all the same. */
export function warning(t: Translate, draft: Draft): string | null {
  const missing = [...draft.query, ...draft.headers, ...(draft.cookies ?? [])].find(
    (one) => one.required && !one.value,
  );
  if (missing) return t("{name} is required. The request is sent without it.", { name: missing.name });
  if (draft.body && takesBody(draft.method) && isText(draft) && isJson(draft) && depthOf(draft.body) <= MAX_DEPTH) {
    try {
      JSON.parse(draft.body);
    } catch (error) {
      return t("The body is not JSON ({more}). It is sent as it is.", {
        more: error instanceof Error ? error.message : t("it cannot be read"),
      });
    }
  }
  return null;
}

/** The request as the service wants it. */
export function requestOf(draft: Draft): ProxyRequest {
  const query: Record<string, string | string[]> = {};
  const headers: Record<string, string> = {};
  for (const { name, value, type } of draft.headers) if (name && (value || type === null)) headers[name] = value;
  const cookies = (draft.cookies ?? []).filter((one) => one.name && one.value).map((one) => [one.name, one.value]);
  const asked = draft.query.filter((one) => one.name && one.value);
  for (const one of draft.credentials ?? []) {
    const secret = secretOf(draft, one);
    if (!secret) continue;
    if (one.kind === "bearer") headers.Authorization = `Bearer ${secret}`;
    else if (one.kind === "basic") headers.Authorization = `Basic ${toBase64(new TextEncoder().encode(secret))}`;
    else if (one.location === "header") headers[one.name] = secret;
    else if (one.location === "cookie") cookies.push([one.name, secret]);
    else if (one.location === "query") asked.push({ name: one.name, value: secret, type: null });
  }
  for (const { name, value } of asked) {
    const before = query[name];
    query[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }
  if (cookies.length > 0) headers.Cookie = cookies.map(([name, value]) => `${name}=${value}`).join("; ");
  const request = { method: draft.method, path: filledPath(draft), query, headers };
  return takesBody(draft.method) ? { ...request, ...contentOf(draft, headers) } : { ...request, body: null };
}

/** Stands for a token that was taken from a response: it is for each endpoint that takes one. */
export const ANY_BEARER = "*";

export function secretOf(draft: Draft, one: EndpointCredential): string {
  return draft.secrets?.[one.scheme] ?? (one.kind === "bearer" ? draft.secrets?.[ANY_BEARER] : undefined) ?? "";
}

/** The draft with these secrets. Where nothing is known about tokens, a bearer token is offered. */
export function withSecrets(draft: Draft, secrets: Record<string, string> | undefined): Draft {
  if (!secrets) return draft;
  const isOffered = secrets[ANY_BEARER] !== undefined && (draft.credentials ?? []).length === 0;
  const any: EndpointCredential = { scheme: ANY_BEARER, kind: "bearer", location: "", name: "" };
  return { ...draft, secrets, ...(isOffered && { credentials: [any] }) };
}

/** The body; a header that it needs is put into `headers`. */
function contentOf(draft: Draft, headers: Record<string, string>): Pick<ProxyRequest, "body" | "encoding"> {
  const form = (draft.form ?? []).filter((one) => one.name && (one.isFile ? one.base64 !== undefined : true));
  switch (draft.bodyKind ?? "text") {
    case "form":
      return { body: new URLSearchParams(form.map(({ name, value }): [string, string] => [name, value])).toString() };
    case "multipart": {
      const written = writeMultipart(form);
      dropContentType(headers);
      headers["Content-Type"] = written.type;
      return { body: written.base64, encoding: "base64" };
    }
    case "file":
      return draft.file?.base64 === undefined ? { body: null } : { body: draft.file.base64, encoding: "base64" };
    case "text": {
      if (draft.body === "") return { body: null };
      if (!Object.keys(headers).some((name) => /^content-type$/i.test(name)))
        headers["Content-Type"] = "application/json";
      return { body: draft.body };
    }
  }
}

function isText(draft: Draft): boolean {
  return (draft.bodyKind ?? "text") === "text";
}

export function isJson(draft: Draft): boolean {
  const type = draft.headers.find((one) => one.name.toLowerCase() === "content-type")?.value ?? "application/json";
  return isText(draft) && isJsonType(type);
}

/** Whether a body is JSON that can be parsed. */
export function isReadableJson(draft: Draft): boolean {
  try {
    JSON.parse(draft.body);
    return isJson(draft);
  } catch {
    return false;
  }
}

function isJsonType(type: string): boolean {
  return /[/+]json\b/i.test(type);
}

/** The form's own type has its boundary, so a type that was written by hand is left out. */
function dropContentType(headers: Record<string, string>): void {
  for (const name of Object.keys(headers)) if (/^content-type$/i.test(name)) Reflect.deleteProperty(headers, name);
}

/** The draft without what is not kept: secrets, and bytes of files. */
export function keepable(draft: Draft): Draft {
  const kept: Draft = { ...draft };
  delete kept.secrets;
  delete kept.file;
  if (draft.form) kept.form = draft.form.map(({ name, value, isFile }) => ({ name, value, isFile }));
  return kept;
}
