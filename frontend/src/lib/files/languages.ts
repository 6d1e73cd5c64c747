import type { Extension } from "@codemirror/state";

type Loader = () => Promise<Extension>;

const python: Loader = async () => (await import("@codemirror/lang-python")).python();
const json: Loader = async () => (await import("@codemirror/lang-json")).json();
const yaml: Loader = async () => (await import("@codemirror/lang-yaml")).yaml();
const html: Loader = async () => (await import("@codemirror/lang-html")).html();
const css: Loader = async () => (await import("@codemirror/lang-css")).css();
const markdown: Loader = async () => (await import("@codemirror/lang-markdown")).markdown();
const sql: Loader = async () => (await import("@codemirror/lang-sql")).sql();
const script =
  (options: { jsx?: boolean; typescript?: boolean }): Loader =>
  async () =>
    (await import("@codemirror/lang-javascript")).javascript(options);
const toml: Loader = async () => {
  const [{ StreamLanguage }, mode] = await Promise.all([
    import("@codemirror/language"),
    import("@codemirror/legacy-modes/mode/toml"),
  ]);
  return StreamLanguage.define(mode.toml);
};

/** Languages by the end of a file's name; each is fetched with its first file. */
const BY_ENDING: Readonly<Record<string, readonly [string, Loader]>> = {
  py: ["Python", python],
  pyi: ["Python", python],
  js: ["JavaScript", script({ jsx: true })],
  cjs: ["JavaScript", script({})],
  mjs: ["JavaScript", script({})],
  jsx: ["JavaScript", script({ jsx: true })],
  ts: ["TypeScript", script({ typescript: true })],
  cts: ["TypeScript", script({ typescript: true })],
  mts: ["TypeScript", script({ typescript: true })],
  tsx: ["TypeScript", script({ typescript: true, jsx: true })],
  json: ["JSON", json],
  toml: ["TOML", toml],
  lock: ["TOML", toml],
  yaml: ["YAML", yaml],
  yml: ["YAML", yaml],
  html: ["HTML", html],
  htm: ["HTML", html],
  css: ["CSS", css],
  md: ["Markdown", markdown],
  sql: ["SQL", sql],
};

/** Name and loader of a file's language; null for plain text. */
export function languageOf(path: string): readonly [string, Loader] | null {
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  const dot = name.lastIndexOf(".");
  const ending = dot === -1 ? "" : name.slice(dot + 1);
  return Object.hasOwn(BY_ENDING, ending) ? (BY_ENDING[ending] ?? null) : null;
}
