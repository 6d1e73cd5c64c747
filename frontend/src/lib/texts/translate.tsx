import { createContext, type ReactNode, useContext, useMemo } from "react";

import type { English } from "./english";

/** Replacements of the words shown: the English text with its `{places}`, and what is shown instead. */
export type Texts = Partial<Record<English, string>>;

type Places<Text extends string> = Text extends `${string}{${infer Place}}${infer Rest}` ? Place | Places<Rest> : never;
type Values<Text extends string> = [Places<Text>] extends [never] ? [] : [Record<Places<Text>, string | number>];

declare const untranslated: unique symbol;
/** An English text of a table. Only `t` makes it one that can be shown. */
export interface Untranslated {
  readonly [untranslated]: English;
}

/** Gives the host's words for an English text, with the values of its places. */
export interface Translate {
  <Text extends English>(text: Text, ...values: Values<Text>): string;
  (text: Untranslated, values?: Record<string, string | number>): string;
}

/** Marks a text of a table for `t`. */
export function english(text: English): Untranslated {
  return text as unknown as Untranslated;
}

/** The text itself, to compare it or to use it as a key. */
export function sourceOf(text: Untranslated): English {
  return text as unknown as English;
}

function translateWith(texts: Texts): Translate {
  return (text: unknown, values?: Record<string, string | number>): string => {
    const words = texts[text as English] ?? (text as string);
    return values ? words.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place)) : words;
  };
}

/** The words as they are written in the source. */
export const inEnglish: Translate = translateWith({});

interface Around {
  texts: Texts;
  t: Translate;
}

const Context = createContext<Around>({ texts: {}, t: inEnglish });

/** The words of the host for all that is below: those of `texts`, else those around. */
export function TextsProvider({ texts, children }: { texts: Texts | undefined; children: ReactNode }): ReactNode {
  const around = useContext(Context);
  const given = useSame(texts);
  const value = useMemo(() => {
    if (!given) return around;
    const all = { ...around.texts, ...given };
    return { texts: all, t: translateWith(all) };
  }, [around, given]);
  return <Context.Provider value={value}>{children}</Context.Provider>;
}

/** The function that gives the words to show. It stays the same while the texts do. */
export function useTranslate(): Translate {
  return useContext(Context).t;
}

/** The first of equal objects: a host may write its texts in place, and nothing is drawn again for that. */
function useSame(texts: Texts | undefined): Texts | undefined {
  const key = texts && JSON.stringify(texts);
  return useMemo(() => (key === undefined ? undefined : (JSON.parse(key) as Texts)), [key]);
}
