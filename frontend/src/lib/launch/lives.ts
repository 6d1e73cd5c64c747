import { type Translate, english, type Untranslated } from "../texts/translate";
import { duration } from "../ui/format";

const LIVES: readonly (readonly [Untranslated, number])[] = [
  [english("in 10 minutes"), 600],
  [english("in 1 hour"), 3_600],
  [english("in 1 day"), 24 * 3_600],
];
/** The least that the service takes. */
const LEAST_S = 60;

/** The lifetimes that a share link may have, in seconds; the last is that of the preview, which no link outlives. */
export function livesUntil(t: Translate, end: number, now: number): (readonly [string, number])[] {
  const left = Math.max(LEAST_S, Math.floor((end - now) / 1_000));
  const whole = duration(left - (left % 60)).replace(/ 00 (min|s)$/, "");
  return [
    ...LIVES.filter(([, seconds]) => seconds < left).map(([words, seconds]) => [t(words), seconds] as const),
    [t("when the preview ends (in {whole})", { whole }), left],
  ];
}
