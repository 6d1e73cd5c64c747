import type { NewContent } from "../api/files";
import type { Translate } from "../texts/translate";

/** Largest file that the editor opens. */
export const MAX_TEXT_BYTES = 1024 * 1024;

/** The text of a file; null if it is not UTF-8. A byte order mark stays, so that saving changes nothing else. */
export function textOf(content: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
  } catch {
    return null;
  }
}

/** The content as a change sends it. */
export function contentOf(content: Uint8Array): NewContent {
  const text = textOf(content);
  if (text !== null) return text;
  let binary = "";
  for (let at = 0; at < content.length; at += 0x8000)
    binary += String.fromCharCode(...content.subarray(at, at + 0x8000));
  return { base64: btoa(binary) };
}

/** The separator that all lines of the text have. A text with both kinds keeps its carriage returns as characters. */
export function separatorOf(text: string): "\n" | "\r\n" {
  const feeds = text.split("\n").length - 1;
  return feeds > 0 && text.split("\r\n").length - 1 === feeds ? "\r\n" : "\n";
}

/** Why a path cannot be a file's, as far as the page knows; null if it can. The service checks all of it. */
export function badPath(t: Translate, path: string, taken: readonly string[]): string | null {
  if (!path) return t("Give it a name, such as app/main.py.");
  if (path.startsWith("/") || path.includes("\\")) return t("Use a path inside the project, with / between folders.");
  if (path.split("/").some((part) => part === "" || part === "." || part === ".."))
    return t("No part of the path may be empty, “.” or “..”.");
  if (taken.includes(path)) return t("A file with this name already exists.");
  if (taken.some((one) => one.startsWith(`${path}/`))) return t("A folder with this name already exists.");
  return null;
}
