import { namesOf, SECRET } from "../variables/references";
import { type Draft, EMPTY, type Field, type FormField, METHODS, pathFields } from "./draft";

/** As many as a project keeps. */
export const MOST_IMPORTED = 100;
export const MAX_COLLECTION_BYTES = 5_000_000;
const MOST_FOLDERS_DEEP = 20;
const MOST_FIELDS = 200;
const MOST_VALUE_CHARS = 16_384;
/** A name of a header field; others are left out. */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

interface Imported {
  requests: { name: string; draft: Draft }[];
  /** How many more there were. */
  left: number;
  /** Values of variables that the requests have. */
  variables: { name: string; value: string; isSecret: boolean }[];
}

type Values = ReadonlyMap<string, string>;

/** The requests of a Postman collection (version 2), and their variables. Hosts and credentials are left out. */
export function readPostman(text: string): Imported {
  let whole: unknown;
  try {
    whole = JSON.parse(text);
  } catch {
    whole = null;
  }
  const items = partOf(whole, "item");
  if (!Array.isArray(items))
    throw new Error("This file is not a Postman collection. In Postman, export it as Collection v2.1.");
  const given = pairs(partOf(whole, "variable"));
  const values = new Map(given.map((one) => [one.name, one.value]));
  const found: Imported = { requests: [], left: 0, variables: [] };
  collect(items, [], values, found);
  const used = new Set(found.requests.flatMap((one) => namesOf(one.draft)));
  for (const { name, value, isSecret } of given)
    // Each once; one without a value is asked for before sending.
    if (used.delete(name) && value !== "" && value.length <= MOST_VALUE_CHARS)
      found.variables.push({ name, value, isSecret: isSecret || SECRET.test(name) });
  return found;
}

function collect(items: readonly unknown[], folders: readonly string[], values: Values, found: Imported): void {
  for (const item of items) {
    const name = partOf(item, "name");
    if (typeof name !== "string") continue;
    const path = [...folders, name];
    const inner = partOf(item, "item");
    if (Array.isArray(inner)) {
      if (path.length <= MOST_FOLDERS_DEEP) collect(inner, path, values, found);
      continue;
    }
    const request = partOf(item, "request");
    if (typeof request !== "string" && (typeof request !== "object" || request === null)) continue;
    if (found.requests.length >= MOST_IMPORTED) found.left += 1;
    else found.requests.push({ name: path.join(" / "), draft: draftOf(request, values) });
  }
}

function draftOf(request: string | object, values: Values): Draft {
  const url = typeof request === "string" ? request : partOf(request, "url");
  // A variable at the beginning is the host, and may have the beginning of the path.
  const raw = textOf(typeof url === "string" ? url : partOf(url, "raw")).replace(
    /^\{\{([^{}]{1,200})\}\}/,
    (whole, name: string) => {
      const value = values.get(name.trim());
      return value === undefined || value.includes("{{") ? whole : value;
    },
  );
  const [address = "", search = ""] = raw.replace(/#.*$/s, "").split(/\?(.*)/s);
  const path = pathOf(address);
  const method = textOf(partOf(request, "method")).toUpperCase();
  const listed = pairs(partOf(url, "query"));
  const query = typeof url === "string" ? searched(search) : fieldsOf(listed);
  const known = fieldsOf(pairs(partOf(url, "variable")));
  return {
    ...EMPTY,
    method: METHODS.find((one) => one === method) ?? "GET",
    path,
    pathFields: pathFields(path, []).map((one) => ({
      ...one,
      value: known.find((other) => other.name === one.name)?.value ?? "",
    })),
    query,
    ...bodyOf(
      partOf(request, "body"),
      fieldsOf(pairs(partOf(request, "header"))).filter((one) => TOKEN.test(one.name)),
    ),
  };
}

/** The path alone, with `{name}` for `:name`. */
function pathOf(address: string): string {
  const path = address.replace(/^(?:[a-z][\w+.-]*:\/\/)?[^/]*/i, "");
  const named = path.replace(/(?<=\/):([A-Za-z_][\w-]*)/g, "{$1}");
  return named.startsWith("/") ? named : `/${named}`;
}

function bodyOf(body: unknown, headers: Field[]): Pick<Draft, "headers" | "body" | "bodyKind" | "form"> {
  const mode = partOf(body, "mode");
  if (mode === "urlencoded" || mode === "formdata") {
    const form = pairs(partOf(body, mode)).map(({ name, value, isFile }): FormField => ({
      name,
      value: isFile ? "" : value,
      isFile,
    }));
    if (mode === "formdata") return { headers, body: "", bodyKind: "multipart", form };
    const type = { name: "Content-Type", value: "application/x-www-form-urlencoded", type: null };
    const others = headers.filter((one) => !/^content-type$/i.test(one.name));
    return { headers: [...others, type], body: "", bodyKind: "form", form };
  }
  return { headers, body: mode === "raw" ? textOf(partOf(body, "raw")) : "" };
}

interface Pair {
  name: string;
  value: string;
  isFile: boolean;
  isSecret: boolean;
}

/** The enabled entries of a list of keys and values. */
function pairs(list: unknown): Pair[] {
  if (!Array.isArray(list)) return [];
  return list
    .filter((one) => partOf(one, "disabled") !== true)
    .map((one) => ({
      name: textOf(partOf(one, "key")),
      value: textOf(partOf(one, "value")),
      isFile: partOf(one, "type") === "file",
      isSecret: partOf(one, "type") === "secret",
    }))
    .filter((one) => one.name !== "" && one.name !== "__proto__")
    .slice(0, MOST_FIELDS);
}

function fieldsOf(list: readonly Pair[]): Field[] {
  return list.map(({ name, value }) => ({ name, value, type: null }));
}

function searched(search: string): Field[] {
  return [...new URLSearchParams(search)].slice(0, MOST_FIELDS).map(([name, value]) => ({ name, value, type: null }));
}

function partOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" || typeof value === "boolean" ? `${value}` : "";
}
