/** The word beside its picture. */
const BESIDE_PX = 92;
/** The word below its picture. */
const BELOW_PX = 48;

export interface Fitting<T> {
  visible: readonly T[];
  rest: readonly T[];
  isStacked: boolean;
}

/** Which of the buttons have a place in a row of this width; the one that is shown always has one. */
export function fitting<T extends { id: string }>(all: readonly T[], shown: string, width: number | null): Fitting<T> {
  if (width === null || width >= all.length * BESIDE_PX) return { visible: all, rest: [], isStacked: false };
  const places = Math.floor(width / BELOW_PX);
  if (places >= all.length) return { visible: all, rest: [], isStacked: true };
  // One place is the menu's.
  const visible = all.slice(0, Math.max(1, places - 1));
  const chosen = all.find((one) => one.id === shown);
  if (chosen && !visible.includes(chosen)) visible[visible.length - 1] = chosen;
  return { visible, rest: all.filter((one) => !visible.includes(one)), isStacked: true };
}
