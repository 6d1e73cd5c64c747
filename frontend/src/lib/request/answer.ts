import type { ProxyResponse } from "../api/types";
import type { Translate } from "../texts/translate";
import { depthOf, MAX_DEPTH } from "./depth";

export type Content =
  | { kind: "empty" }
  | { kind: "json"; value: unknown; text: string }
  | { kind: "html"; text: string }
  | { kind: "image"; address: string }
  /** `note`: why it is not shown in a better form. */
  | { kind: "text"; text: string; note?: string }
  | { kind: "binary"; bytes: Uint8Array<ArrayBuffer> };

/** What an answer's body is, and how it is best shown. */
export function contentOf(t: Translate, answer: ProxyResponse): Content {
  const type = headerOf(answer, "content-type").split(";")[0]?.trim().toLowerCase() ?? "";
  if (answer.body === "") return { kind: "empty" };
  if (answer.encoding === "base64") {
    if (/^image\/(png|jpeg|gif|webp|avif|bmp|x-icon|vnd\.microsoft\.icon)$/.test(type)) {
      return { kind: "image", address: `data:${type};base64,${answer.body}` };
    }
    return { kind: "binary", bytes: Uint8Array.from(atob(answer.body), (unit) => unit.charCodeAt(0)) };
  }
  if (/[/+]json$/.test(type)) {
    const depth = depthOf(answer.body);
    if (depth > MAX_DEPTH) {
      const note = t(
        "This JSON is nested {depth} levels deep. Beyond {MAX_DEPTH} levels, it is shown as text, as received.",
        { depth: depth.toLocaleString("en"), MAX_DEPTH },
      );
      return { kind: "text", text: answer.body, note };
    }
    try {
      return { kind: "json", value: JSON.parse(answer.body) as unknown, text: answer.body };
    } catch {
      return { kind: "text", text: answer.body };
    }
  }
  if (type === "text/html" || type === "application/xhtml+xml") return { kind: "html", text: answer.body };
  // As an image an SVG cannot run anything.
  if (type === "image/svg+xml")
    return { kind: "image", address: `data:image/svg+xml,${encodeURIComponent(answer.body)}` };
  return { kind: "text", text: answer.body };
}

const TOKEN_NAMES = /^(access_?token|id_?token|auth_?token|bearer_?token|session_?token|token|jwt)$/i;

/** A token in a JSON response, at most two levels deep; null without one. */
export function tokenIn(value: unknown, depth = 0): string | null {
  if (typeof value !== "object" || value === null || depth > 2) return null;
  for (const [name, one] of Object.entries(value).slice(0, 100)) {
    if (TOKEN_NAMES.test(name) && typeof one === "string" && /^[\w.~+/=-]{8,8192}$/.test(one)) return one;
    const inside = tokenIn(one, depth + 1);
    if (inside !== null) return inside;
  }
  return null;
}

export function headerOf(answer: ProxyResponse, name: string): string {
  const value = answer.headers[name];
  return Array.isArray(value) ? value.join(", ") : (value ?? "");
}

/** Size of the body in bytes. */
export function sizeOf(answer: ProxyResponse): number {
  if (answer.encoding !== "base64") return new TextEncoder().encode(answer.body).length;
  const padding = /=*$/.exec(answer.body)?.[0].length ?? 0;
  return (answer.body.length / 4) * 3 - padding;
}
