import type { Project } from "./useProjects";

/** Newest first, whatever runs: a list that is looked at does not change its order. */
export function inOrder(projects: readonly Project[]): Project[] {
  return [...projects].sort((a, b) => (b.createdAt ?? "").localeCompare(a.createdAt ?? "") || a.id.localeCompare(b.id));
}

/** Projects of one group, in the order of the list. */
export interface Group {
  name: string;
  projects: readonly Project[];
}

/** The groups by name, and those of no group last, under an empty name. */
export function grouped(projects: readonly Project[]): Group[] {
  const groups = new Map<string, Project[]>();
  for (const one of projects) {
    const name = one.group ?? "";
    groups.set(name, [...(groups.get(name) ?? []), one]);
  }
  const byName = (a: Group, b: Group): number =>
    Number(a.name === "") - Number(b.name === "") || a.name.localeCompare(b.name);
  return [...groups].map(([name, members]) => ({ name, projects: members })).sort(byName);
}

/** The projects whose name or group has all words of the text, in any order. They are not ranked. */
export function matching(projects: readonly Project[], text: string): readonly Project[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const textOf = ({ name, id, group }: Project): string => `${name} ${id} ${group ?? ""}`.toLowerCase();
  return projects.filter((one) => words.every((word) => textOf(one).includes(word)));
}

/**
 * How well a text matches what was typed: 0 for not at all. Each letter has to come in order; letters at the begin of
 * words and next to each other count more.
 */
export function fuzzyScore(typed: string, text: string): number {
  const wanted = typed.toLowerCase().replace(/\s+/g, "");
  const given = text.toLowerCase();
  let score = 1;
  let at = -1;
  for (const letter of wanted) {
    const next = given.indexOf(letter, at + 1);
    if (next === -1) return 0;
    const isStart = next === 0 || /[\s/_.:-]/.test(given[next - 1] ?? "");
    score += next === at + 1 && at !== -1 ? 3 : isStart ? 2 : 0.2;
    at = next;
  }
  return score + (given.startsWith(typed.toLowerCase()) ? 5 : 0) - given.length / 1_000;
}
