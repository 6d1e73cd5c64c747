import type { PreviewInstance, StopCause } from "../api/types";
import { type Translate, english, type Untranslated } from "../texts/translate";
import { visible } from "../ui/visible";

/** What a person makes of a stop that nobody asked for. */
const STOPS: Readonly<Partial<Record<StopCause, Untranslated>>> = {
  expired: english("This preview reached its time limit. Launch it again to continue."),
  inactive: english("Nobody has used it for a while, so it was stopped. Launch it again to continue."),
  shutdown: english("The service was shut down, and this preview with it. Launch it again."),
};

/** Why a preview was stopped, as a sentence. */
export function whyStopped(t: Translate, reason: string, cause?: StopCause | null): string {
  const words = cause && STOPS[cause];
  return words ? t(words) : sentence(reason);
}

/** Why a preview failed, as a sentence, with the exit code or the signal where they are known and not told. */
export function whyFailed(t: Translate, { reason, exit_code: code, exit_signal: signal }: PreviewInstance): string {
  const said = sentence(reason?.replace(/^failed: /, "") ?? t("The preview failed."));
  // A limit ended it: how the service did that is no news.
  if (reason?.startsWith("stopped: ")) return said;
  if (signal !== null && !said.includes("signal"))
    return t("{said} It was killed by signal {signal}.", { said, signal });
  return code !== null && !/\b(status|code|exit)/.test(said) ? t("{said} Exit code {code}.", { said, code }) : said;
}

function sentence(reason: string): string {
  // The name of a file or a module keeps its letters.
  return ended(reason.replace(/^[a-z]+(?![\w./-])/, (word) => word.charAt(0).toUpperCase() + word.slice(1)));
}

/** The text as it may be shown, with a mark at its end. */
export function ended(text: string): string {
  const shown = visible(text);
  return /[.!?…]$/.test(shown) ? shown : `${shown}.`;
}
