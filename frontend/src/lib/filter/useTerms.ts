import { useCallback, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem } from "../api/problem";
import { useTranslate } from "../texts/translate";
import { filterOf, joined, MAX_TERMS, type Term } from "./terms";

export interface Terms {
  terms: readonly Term[];
  /** The filter in force; empty for none. */
  filter: string;
  /** Why the last text is no filter: the service's sentence. */
  error: string | null;
  /** Add the terms of a text. Resolves to true if it is a filter. */
  add: (text: string) => Promise<boolean>;
  set: (terms: Term[]) => void;
  dismiss: () => void;
}

/** The terms of a filter in the one filter language; the service says which they are. */
export function useTerms(
  client: PreviewClient,
  terms: readonly Term[],
  onTerms: (terms: Term[]) => void,
  appliesTo: "on_lines" | "on_requests",
): Terms {
  const t = useTranslate();
  const [error, setError] = useState<string | null>(null);
  const now = useRef(terms);
  useEffect(() => {
    now.current = terms;
  });
  const add = useCallback(
    async (text: string): Promise<boolean> => {
      setError(null);
      try {
        const found = await client.explainFilter(text);
        const wrong = found.find((one) => !one[appliesTo]);
        if (wrong) {
          setError(
            appliesTo === "on_lines"
              ? t("“{term}” applies to recorded requests, not to log lines.", { term: wrong.text })
              : t("“{term}” applies to log lines, not to requests.", { term: wrong.text }),
          );
          return false;
        }
        const known = new Set(now.current.map((one) => one.text));
        const fresh = found
          .filter((one) => !known.has(one.text))
          .map((one) => ({ text: one.text, sentence: one.sentence, isOn: true }));
        if (now.current.length + fresh.length > MAX_TERMS) {
          setError(t("At most {most} terms can be combined. Remove some first.", { most: MAX_TERMS }));
          return false;
        }
        // Groups count as the terms in them, and only the service knows how many these are.
        if (now.current.length > 0 && fresh.length > 0) await client.explainFilter(joined([...now.current, ...fresh]));
        onTerms([...now.current.map((one) => (found.some((two) => two.text === one.text) ? { ...one, isOn: true } : one)), ...fresh]); // prettier-ignore
        return true;
      } catch (thrown) {
        setError(asProblem(thrown).message);
        return false;
      }
    },
    [client, onTerms, appliesTo, t],
  );
  const dismiss = useCallback(() => setError(null), []);
  return { terms, filter: filterOf(terms), error, add, set: onTerms, dismiss };
}
