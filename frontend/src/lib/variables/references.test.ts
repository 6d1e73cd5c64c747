import { expect, test } from "vitest";

import { type Draft, EMPTY, requestOf } from "../request/draft";
import { savable } from "../request/saved";
import { filledDraft, type Known, nameFor, namesOf, needsService, variableProblem } from "./references";

const t = ((text: string, values: Record<string, string> = {}) =>
  text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "")) as unknown as Parameters<
  typeof variableProblem
>[0];
const known: Known = {
  values: new Map([
    ["id", "a/b"],
    ["loop", "{{id}}"],
  ]),
  secrets: new Set(["key"]),
};
const field = (name: string, value: string) => ({ name, value, type: null });
const draft = (more: Partial<Draft>): Draft => ({ ...EMPTY, method: "POST", ...more });

test("hostile braces are no variables, and a value is not filled again", () => {
  const strange = "{{}} {{a b}} {{#each}} {{1}} {{__proto__}} {id} {{constructor}} " + "{{".repeat(50_000);
  expect(namesOf(draft({ body: strange }))).toEqual(["__proto__", "constructor"]);
  expect(filledDraft(draft({ body: "{{__proto__}}{{loop}}" }), known.values).body).toBe("{{__proto__}}{{id}}");
  expect(nameFor("__proto__")).toBe("__proto__");
  expect(nameFor("1")).toBe("value_1");
  expect(nameFor("\u202e\u0000")).toBe("_");
});

test("values are put into path, parameters, headers and body; a value of a path field is escaped", () => {
  const made = draft({
    path: "/x/{{id}}/{one}",
    pathFields: [field("one", "{{id}}")],
    query: [field("q", "{{ id }}")],
    headers: [field("X-Id", "{{id}}")],
    body: '{"id": "{{id}}"}',
  });
  expect(requestOf(filledDraft(made, known.values))).toMatchObject({
    path: "/x/a/b/a%2Fb",
    query: { q: "a/b" },
    headers: { "X-Id": "a/b" },
    body: '{"id": "a/b"}',
  });
  expect(variableProblem(t, made, known, false)).toBeNull();
});

test("a value that becomes a variable is not sent where the service would fill it in", () => {
  const values = new Map([
    ["loop", "{{other_secret}}"],
    ["escaped", "\\u007b\\u007bother_secret}}"],
    ["first", "{{other"],
    ["second", "_secret}}"],
    ["plain", '{"a": {"b": 1}}'],
  ]);
  const taken: Known = { values, secrets: new Set(["key", "other_secret"]) };
  const headers = [field("X-Key", "{{key}}")];
  for (const body of ["{{loop}}", '"{{escaped}}"', "{{first}}{{second}}"])
    expect(variableProblem(t, draft({ headers, body }), taken, true), body).toMatch(/contains another variable/);
  expect(variableProblem(t, draft({ headers, body: "{{plain}} {{key}}" }), taken, true)).toBeNull();
  // Without a secret the page fills them, once.
  expect(variableProblem(t, draft({ body: "{{loop}}" }), taken, true)).toBeNull();
});

test("what has no value is named before sending, unless its braces are sent as text", () => {
  const made = draft({ path: "/{{no}}", body: "{{nor}} {{id}}" });
  expect(variableProblem(t, made, known, true)).toBe("Set a value for {{no}}, {{nor}}.");
  const literal = { ...made, isLiteral: true };
  expect(variableProblem(t, literal, known, true)).toBeNull();
  expect(filledDraft(literal, known.values).body).toBe("{{nor}} {{id}}");
});

test("a secret is left to the service, for the owner, and only where it can be put in", () => {
  const header = draft({ headers: [field("Authorization", "Bearer {{key}}")] });
  expect(needsService(header, known)).toBe(true);
  expect(variableProblem(t, header, known, true)).toBeNull();
  expect(variableProblem(t, header, known, false)).toMatch(/Only the owner/);
  expect(variableProblem(t, draft({ path: "/{{key}}" }), known, true)).toMatch(/Paths are logged/);
  const form = draft({ bodyKind: "form", form: [{ name: "a", value: "{{key}}", isFile: false }] });
  expect(variableProblem(t, form, known, true)).toMatch(/Use it only in/);
  // A saved request keeps the variable, and no secret.
  expect(savable("x", header).draft.headers[0]?.value).toBe("Bearer {{key}}");
  const mixed = draft({
    headers: [field("Authorization", "Bearer s3cret{{key}}"), field("X-Token", "{{key}} s3cret")],
  });
  expect(savable("x", mixed).draft.headers.map((one) => one.value)).toEqual(["", ""]);
});
