import type { Translate } from "../texts/translate";

/** Header fields, one `Name: value` a line; a sentence if a line is none. */
export function parseHeaders(t: Translate, text: string): [string, string][] | string {
  const found: [string, string][] = [];
  for (const line of text.split("\n")) {
    if (!line.trim()) continue;
    const at = line.indexOf(":");
    const name = line.slice(0, at).trim();
    if (at < 1 || /\s/.test(name))
      return t("“{line}” is not a header; write Name: value.", { line: line.trim().slice(0, 60) });
    found.push([name, line.slice(at + 1).trim()]);
  }
  return found;
}
