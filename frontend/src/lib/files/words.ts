import type { FilesSaved } from "../api/files";
import type { Translate } from "../texts/translate";
import { visible } from "../ui/visible";

/** What became of a saved change. */
export function savedWords(
  t: Translate,
  saved: Pick<FilesSaved, "reload" | "changed" | "removed">,
): {
  tone: "info" | "bad";
  words: string;
} {
  const { status, elapsed_ms, error } = saved.reload;
  if (status === "reloaded")
    return {
      tone: "info",
      words: t("Saved, reloaded in {elapsed_ms} s.", { elapsed_ms: (elapsed_ms / 1000).toFixed(2) }),
    };
  if (status === "none") {
    const isSame = saved.changed.length + saved.removed.length === 0;
    return { tone: "info", words: isSame ? t("Nothing has changed.") : t("Saved. No preview is running.") };
  }
  const why = visible(error?.detail ?? "").trim();
  const end = /[.!?\u2026]$/.test(why) || !why ? "" : ".";
  return {
    tone: "bad",
    words: t("Saved, but the new version does not start: {why}{end} The previous version is still running.", {
      why,
      end,
    }),
  };
}
