import { type Draft, isReadableJson as isJson, requestOf, takesBody, target } from "./draft";

export type SnippetKind = "curl" | "httpx" | "fetch";

/** The request as code that asks the preview directly. */
export function snippet(kind: SnippetKind, draft: Draft, baseUrl: string): string {
  const address = `${baseUrl.replace(/\/$/, "")}${target(draft)}`;
  const sent = requestOf({ ...draft, secrets: {} });
  const headers = Object.entries(sent.headers).map(([name, value]) => ({ name, value }));
  // Bytes of files stay out of code that is copied.
  const body = takesBody(draft.method) && typeof sent.body === "string" && !sent.encoding ? sent.body : null;
  return { curl, httpx, fetch: fetchCode }[kind](draft, address, headers, body);
}

type Headers = readonly { name: string; value: string }[];

function curl(draft: Draft, address: string, headers: Headers, body: string | null): string {
  const parts = ["curl"];
  if (draft.method === "HEAD") parts.push("--head");
  else if (draft.method !== "GET" || body !== null) parts.push("-X", draft.method);
  parts.push(shell(address));
  for (const { name, value } of headers) parts.push("\\\n  -H", shell(`${name}: ${value}`));
  if (body !== null) parts.push("\\\n  --data-raw", shell(body));
  return parts.join(" ");
}

function httpx(draft: Draft, address: string, headers: Headers, body: string | null): string {
  const lines = [`    ${python(draft.method)},`, `    ${python(address)},`];
  const own = headers.filter((one) => body === null || !isJson(draft) || one.name.toLowerCase() !== "content-type");
  if (own.length > 0) {
    lines.push(`    headers={${own.map((one) => `${python(one.name)}: ${python(one.value)}`).join(", ")}},`);
  }
  if (body !== null)
    lines.push(isJson(draft) ? `    json=${pythonValue(JSON.parse(body))},` : `    content=${python(body)},`);
  return `import httpx\n\nresponse = httpx.request(\n${lines.join("\n")}\n)\nprint(response.status_code, response.text)`;
}

function fetchCode(draft: Draft, address: string, headers: Headers, body: string | null): string {
  const options: string[] = [];
  if (draft.method !== "GET") options.push(`  method: ${JSON.stringify(draft.method)},`);
  if (headers.length > 0) {
    options.push(`  headers: ${JSON.stringify(Object.fromEntries(headers.map((one) => [one.name, one.value])))},`);
  }
  if (body !== null)
    options.push(isJson(draft) ? `  body: JSON.stringify(${compact(body)}),` : `  body: ${JSON.stringify(body)},`);
  const second = options.length > 0 ? `, {\n${options.join("\n")}\n}` : "";
  return `const response = await fetch(${JSON.stringify(address)}${second});\nconsole.log(response.status, await response.text());`;
}

function compact(body: string): string {
  return JSON.stringify(JSON.parse(body));
}

/** A word for a POSIX shell. */
function shell(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function python(text: string): string {
  return JSON.stringify(text);
}

function pythonValue(value: unknown): string {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(pythonValue).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value)
      .map(([key, one]) => `${python(key)}: ${pythonValue(one)}`)
      .join(", ")}}`;
  }
  return JSON.stringify(value);
}
