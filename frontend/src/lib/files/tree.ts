import type { StoredFile } from "../api/files";

/** A line of the tree. */
export interface TreeRow {
  path: string;
  /** Last part of the path; the whole path in a search. */
  name: string;
  depth: number;
  isFolder: boolean;
  isOpen: boolean;
}

/** Rows that are shown at once. */
export const MOST_ROWS = 1_000;
/** Projects with more files begin with closed folders. */
const FEW_FILES = 60;

/** The folders of a path, the outermost first. */
export function foldersOf(path: string): string[] {
  const parts = path.split("/");
  return parts.slice(1).map((_, at) => parts.slice(0, at + 1).join("/"));
}

/** The folders that are open at first: all in a small project, else those of the file that is shown. */
export function firstOpen(files: readonly StoredFile[], shown: string | null): Set<string> {
  const paths = files.length <= FEW_FILES ? files.map((one) => one.path) : shown === null ? [] : [shown];
  return new Set(paths.flatMap(foldersOf));
}

/** The rows of the tree: folders before files, each in the order of names. */
export function rowsOf(paths: readonly string[], open: ReadonlySet<string>): TreeRow[] {
  const rows: TreeRow[] = [];
  const add = (prefix: string, inside: readonly string[], depth: number): void => {
    const folders = new Map<string, string[]>();
    const files: string[] = [];
    for (const path of inside) {
      const end = path.indexOf("/", prefix.length);
      if (end === -1) files.push(path);
      else {
        const folder = path.slice(0, end);
        const found = folders.get(folder);
        if (found) found.push(path);
        else folders.set(folder, [path]);
      }
    }
    for (const folder of [...folders.keys()].sort(byName)) {
      const isOpen = open.has(folder);
      rows.push({ path: folder, name: folder.slice(prefix.length), depth, isFolder: true, isOpen });
      if (isOpen) add(`${folder}/`, folders.get(folder) ?? [], depth + 1);
    }
    for (const path of files.sort(byName))
      rows.push({ path, name: path.slice(prefix.length), depth, isFolder: false, isOpen: false });
  };
  add("", paths, 0);
  return rows;
}

/** The files whose path has all words of the search, as rows without folders. */
export function foundRows(paths: readonly string[], search: string): TreeRow[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return paths
    .filter((path) => words.every((word) => path.toLowerCase().includes(word)))
    .map((path) => ({ path, name: path, depth: 0, isFolder: false, isOpen: false }));
}

function byName(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
