import { readFileSync } from "node:fs";

import { cleanup, render, screen, waitFor } from "@testing-library/react";
import type { ComponentType, ReactElement } from "react";
import { afterEach, expect, test } from "vitest";

import { rawTexts } from "../../../scripts/rawTexts.mjs";
import { LIST, listModule } from "../../../scripts/texts.mjs";
import { PreviewProvider } from "../context";
import * as library from "../index";
import { PreviewTerminal } from "../terminal/PreviewTerminal";
import { clientOf, json } from "../testing";
import { ENGLISH } from "./english";
import { english, inEnglish, type Texts, TextsProvider, useTranslate } from "./translate";

afterEach(cleanup);

/** Texts that a person sees and that a host cannot replace, with the reason. */
const EXCEPTIONS: Readonly<Record<string, readonly RegExp[]>> = {
  "sentences of errors: the service's, and those of its client": [
    /^api\//,
    /^request\/desk\.ts: Stopped/,
    /^stream\/connection\.ts/,
  ],
  "the account dialog and the list of keys are the page's": [/^account\//, /^terminal\/logKeys/],
  "names of languages, protocols, headers and settings": [
    /^files\/languages/,
    /Content-Type$|Socket\.IO$|OpenAPI$|SHA-256|PREVIEW_DOMAIN$|: (Bearer|Basic) \{\}$/,
  ],
  "reason phrases of HTTP": [/^request\/Answer\.tsx: [A-Z]/],
  "examples of what to type": [
    /: (error -path|status:|method:|https:|\/ws$|graphql-transport-ws$|Authorization: |app\/main\.py$|LOG_LEVEL)/,
  ],
  "units of time and size": [/^ui\/format\.ts/],
  "lines of the log: remarks on gaps, and names of steps in the data of a hook": [
    /^logs\/(store|steps)\.ts/,
    /^logs\/traceback/,
  ],
  "never shown: styles, code to copy, words of a search, names of phases": [
    /^ui\/theme|^terminal\/colours|^request\/(snippets|multipart)/,
    /: ws websocket \{\}$|: noopener noreferrer$/,
    /^files\/editor\.ts: .*(\(|px|cm-)/,
    /^files\/Markdown\.tsx: [A-Z]\w+$/,
    /^traffic\/words\.ts: (access check|first byte)$/,
    /^settings\/EnvDialog\.tsx: (added|changed|same)$/,
  ],
  "texts with short names, which are in the list": [/^(terminal|launch)\/texts\.ts/],
};

test("each text that is shown goes through t, or is a named exception", () => {
  const exceptions = Object.values(EXCEPTIONS).flat();
  const raw = rawTexts().map(({ file, text }) => `${file}: ${text}`);
  expect(raw.filter((one) => !exceptions.some((known) => known.test(one)))).toEqual([]);
  // An exception that excuses nothing is an old one.
  expect(exceptions.filter((known) => !raw.some((one) => known.test(one))).map(String)).toEqual([]);
});

test("the list of texts is the one that the source gives; `npm run texts` writes it", () => {
  expect(readFileSync(LIST, "utf8")).toBe(listModule());
});

test("places get their values; an unknown place, and a place in a value, stay as they are", () => {
  expect(inEnglish("Delete {path}?", { path: "{path}" })).toBe("Delete {path}?");
  const swapped = "{count} lignes, {other}";
  const client = clientOf(() => json({}));
  const Shown = (): ReactElement => <p>{useTranslate()("{count} lines", { count: 3 })}</p>;
  render(
    <PreviewProvider client={client} texts={{ "{count} lines": "lines: {count}" }}>
      <Shown />
      <TextsProvider texts={{ "{count} lines": swapped }}>
        <Shown />
      </TextsProvider>
    </PreviewProvider>,
  );
  expect(screen.getAllByText(/3/).map((one) => one.textContent)).toEqual(["lines: 3", "3 lignes, {other}"]);
});

test("equal texts in a new object change nothing below", () => {
  const seen = new Set<unknown>();
  const Shown = (): null => {
    seen.add(useTranslate());
    return null;
  };
  const shown = <Shown />;
  const { rerender } = render(<TextsProvider texts={{ Save: "Enregistrer" }}>{shown}</TextsProvider>);
  rerender(<TextsProvider texts={{ Save: "Enregistrer" }}>{<Shown />}</TextsProvider>);
  expect(seen.size).toBe(1);
  rerender(<TextsProvider texts={{ Save: "Sichern" }}>{<Shown />}</TextsProvider>);
  expect(seen.size).toBe(2);
});

const MARKED = Object.fromEntries(ENGLISH.map((text) => [text, `⟦${text}⟧`])) as Texts;
const COMPONENTS = [
  ...Object.entries(library).filter(([name, value]) => /^[A-Z].*Panel$/.test(name) && typeof value === "function"),
  ["PreviewTerminal", PreviewTerminal],
] as [string, ComponentType<{ generationId: string; texts?: Texts }>][];

test.each(COMPONENTS)(
  "all words of %s come from texts",
  async (_, Component) => {
    const instance = {
      id: "p1",
      generation_id: "g",
      status: "failed",
      health: "unhealthy",
      reason: null,
      created_at: "2026-11-20T12:00:00Z",
      expires_at: "2026-11-20T13:00:00Z",
      exit_code: null,
      exit_signal: null,
    };
    const client = clientOf(({ path }) => {
      if (/\/previews(\?|$)/.test(path)) return json({ previews: [instance], items: [instance] });
      if (path.endsWith("/preview")) return json(instance);
      return json({ error: "not_found", message: "⟦a sentence of the service⟧" }, 404);
    });
    const { container } = render(
      <PreviewProvider client={client}>
        <Component generationId="g" texts={MARKED} />
      </PreviewProvider>,
    );
    const options = { timeout: 15_000 };
    await waitFor(() => {
      if (!/⟦(?!Loading)/.test(container.textContent)) throw new Error("not yet");
    }, options);
    expect(unmarked(container)).toEqual([]);
  },
  20_000,
);

/** Texts and labels in an element that have letters outside of the marks. */
function unmarked(root: Element): string[] {
  const texts: string[] = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ALL);
  for (let node: Node | null = walker.currentNode; node; node = walker.nextNode()) {
    if (node.nodeType === Node.TEXT_NODE) texts.push(node.nodeValue ?? "");
    if (!(node instanceof Element)) continue;
    for (const name of ["title", "aria-label", "placeholder", "alt"]) texts.push(node.getAttribute(name) ?? "");
  }
  // HTTP methods, and examples of what to type.
  const known = /^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|\/\S*|(error|status:|method:).*)$/;
  return texts.filter((text) => /[A-Za-z]{2}/.test(stripped(text)) && !known.test(text.trim()));
}

function stripped(text: string): string {
  let before;
  do {
    before = text;
    text = text.replace(/⟦[^⟦⟧]*⟧/g, "");
  } while (text !== before);
  return text;
}

test("a text of a table can be shown only by t", () => {
  // @ts-expect-error -- it is no text of React
  const shown: string = english("Save");
  expect(inEnglish(english("Save"))).toBe(shown);
});
