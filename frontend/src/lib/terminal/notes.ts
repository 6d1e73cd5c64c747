/** The words of all marks of the lines from one number to another, in their order; undefined without any. */
export function notesIn(marks: ReadonlyMap<number, string>, from: number, to: number): string | undefined {
  if (to <= from) return marks.get(from);
  const found = [...marks].filter(([seq]) => seq >= from && seq <= to).sort(([a], [b]) => a - b);
  return found.map(([, words]) => words).join("; ") || undefined;
}
