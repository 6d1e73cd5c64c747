/** A term of a filter, as the service explains it. */
export interface FilterTerm {
  /** As written. */
  text: string;
  /** What it selects, as a sentence. */
  sentence: string;
  negated: boolean;
  /** Whether it can be decided for log lines, and for recorded requests. */
  on_lines: boolean;
  on_requests: boolean;
}
