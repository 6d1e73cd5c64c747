import type { PreviewInstance } from "../api/types";
import { visible } from "../ui/visible";

/** What the service says when it stops a preview by itself, and what a person makes of it. */
const STOPS: readonly [RegExp, string][] = [
  [/its time is over/, "Its time is over: previews run for a limited time. Launch it again to go on."],
  [/no request and no open stream/, "Nobody has used it for a while, so it was stopped. Launch it again to go on."],
  [/the service (is shutting down|ended)/, "The service was shut down, and this preview with it. Launch it again."],
];

/** Why a preview was stopped, as a sentence. */
export function whyStopped(reason: string): string {
  return STOPS.find(([said]) => said.test(reason))?.[1] ?? sentence(reason);
}

/** Why a preview failed, as a sentence, with the exit code or the signal where they are known and not told. */
export function whyFailed({ reason, exit_code: code, exit_signal: signal }: PreviewInstance): string {
  const said = sentence(reason?.replace(/^failed: /, "") ?? "The preview failed.");
  // A limit ended it: how the service did that is no news.
  if (reason?.startsWith("stopped: ")) return said;
  if (signal !== null && !said.includes("signal")) return `${said} It was ended by signal ${signal}.`;
  return code !== null && !/\b(status|code|exit)/.test(said) ? `${said} Exit code ${code}.` : said;
}

function sentence(reason: string): string {
  return ended(reason.charAt(0).toUpperCase() + reason.slice(1));
}

/** The text as it may be shown, with a mark at its end. */
export function ended(text: string): string {
  const shown = visible(text);
  return /[.!?…]$/.test(shown) ? shown : `${shown}.`;
}
