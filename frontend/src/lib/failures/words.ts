import type { FailureFrame, FailureGroup } from "../api/failures";
import type { Translate } from "../texts/translate";
import { visible } from "../ui/visible";

const MOST_CHARACTERS = 240;

/** The first line of a text, cut where it is long. */
export function firstLine(text: string): string {
  const end = text.search(/[\r\n]/);
  const line = end === -1 ? text : text.slice(0, end);
  return visible(line.length > MOST_CHARACTERS ? `${line.slice(0, MOST_CHARACTERS)}…` : line);
}

/** `main.py:12 in get_book`. */
export function placeOf(t: Translate, frame: FailureFrame | null): string {
  if (frame === null) return t("outside of the project’s own code");
  const where = frame.line > 0 ? `${frame.path}:${frame.line}` : frame.path;
  return visible(frame.function ? t("{place} in {function}", { place: where, function: frame.function }) : where);
}

/** `new since reload 2`, if the process of now is the first with this failure; null if it is older. */
export function newSince(t: Translate, one: Pick<FailureGroup, "first">, reloads: number): string | null {
  const { reload } = one.first;
  return reload > 0 && reload >= reloads ? t("new since reload {reload}", { reload }) : null;
}
