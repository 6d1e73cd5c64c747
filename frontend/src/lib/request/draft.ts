import type { Endpoint, ProxyRequest } from "../api/types";
import { depthOf, MAX_DEPTH } from "./depth";

export interface Field {
  name: string;
  value: string;
  /** What the endpoint says of it: a type, or nothing for what the person has added. */
  type: string | null;
}

/** A request as it is being written. */
export interface Draft {
  method: string;
  /** With `{name}` for parameters. */
  path: string;
  pathFields: Field[];
  query: Field[];
  headers: Field[];
  body: string;
}

export const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] as const;
const WITH_BODY = new Set(["POST", "PUT", "PATCH", "DELETE"]);

export function takesBody(method: string): boolean {
  return WITH_BODY.has(method);
}

export const EMPTY: Draft = { method: "GET", path: "/", pathFields: [], query: [], headers: [], body: "" };

/** A request to an endpoint, filled in from what is known of it. */
export function draftOf(endpoint: Endpoint): Draft {
  const hasBody = takesBody(endpoint.method) && endpoint.body !== null && endpoint.body !== undefined;
  return {
    method: endpoint.method,
    path: endpoint.path,
    pathFields: pathFields(endpoint.path, []),
    query: Object.entries(endpoint.query).map(([name, type]) => ({ name, value: "", type })),
    headers: hasBody ? [{ name: "Content-Type", value: "application/json", type: null }] : [],
    body: hasBody ? JSON.stringify(example(endpoint.body), null, 2) : "",
  };
}

/** The parameters in a path, with the values that they have already. */
export function pathFields(path: string, before: readonly Field[]): Field[] {
  const names = [...path.matchAll(/\{([^{}/]+)\}/g)].map((match) => (match[1] ?? "").replace(/:.*$/, ""));
  return [...new Set(names)].map((name) => ({
    name,
    value: before.find((one) => one.name === name)?.value ?? "",
    type: "path",
  }));
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
  return draft.path.replace(/\{([^{}/]+)\}/g, (whole, inner: string) => {
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

/** Why it cannot be sent yet; null when it can. */
export function obstacle(draft: Draft): string | null {
  const missing = draft.pathFields.find((field) => !field.value);
  if (missing) return `“${missing.name}” is required: it is part of the path.`;
  if (!draft.path.startsWith("/")) return "The path must begin with a slash.";
  if (draft.body && takesBody(draft.method) && isJson(draft)) {
    const depth = depthOf(draft.body);
    if (depth > MAX_DEPTH)
      return `The body is nested ${depth.toLocaleString("en")} levels deep; ${MAX_DEPTH} can be sent from here.`;
    try {
      JSON.parse(draft.body);
    } catch (error) {
      return `The body is not JSON: ${error instanceof Error ? error.message : "it cannot be read"}.`;
    }
  }
  return null;
}

/** The request as the service wants it. */
export function requestOf(draft: Draft): ProxyRequest {
  const query: Record<string, string | string[]> = {};
  for (const { name, value } of draft.query) {
    if (!name || !value) continue;
    const before = query[name];
    query[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }
  const headers = Object.fromEntries(draft.headers.filter((one) => one.name).map((one) => [one.name, one.value]));
  const isSent = takesBody(draft.method) && draft.body !== "";
  const body: unknown = !isSent ? null : isJson(draft) ? JSON.parse(draft.body) : draft.body;
  return { method: draft.method, path: filledPath(draft), query, headers, body };
}

export function isJson(draft: Draft): boolean {
  const type = draft.headers.find((one) => one.name.toLowerCase() === "content-type")?.value ?? "application/json";
  return /[/+]json\b/i.test(type);
}
