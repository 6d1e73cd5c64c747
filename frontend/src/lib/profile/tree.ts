import type { ProfileNode } from "../api/profile";

const MOST_SHOWN = 40;
const LEAST_SHARE = 0.01;

/** Indexes of the nodes that are worth a look: at least a hundredth of the time. Callers come before what they call. */
export function shownOf(nodes: readonly ProfileNode[], total: number): number[] {
  const costly = nodes.map((_, at) => at).filter((at) => (nodes[at]?.total_ms ?? 0) >= total * LEAST_SHARE);
  return costly.slice(0, MOST_SHOWN);
}

/** The nodes among the shown ones that this one has called; null: those that nothing has called. */
export function childrenOf(nodes: readonly ProfileNode[], shown: readonly number[], parent: number | null): number[] {
  return shown.filter((at) => nodes[at]?.parent === parent);
}
