import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { type ReactNode, useCallback, useState } from "react";
import { afterEach, describe, expect, test } from "vitest";

import type { PreviewClient } from "../api/client";
import { lookOfAddress, lookToAddress, WHOLE_LOG } from "../logs/look";
import { clientOf, json } from "../testing";
import { inEnglish } from "../texts/translate";
import { draftOfSendable } from "../traffic/sendable";
import { FilterField } from "./FilterField";
import { filterOf, fromAddress, rangeOf, type Term, toAddress, withRange } from "./terms";
import { useTerms } from "./useTerms";

afterEach(cleanup);

const term = (text: string, isOn = true): Term => ({ text, sentence: "", isOn });

describe("terms", () => {
  test("those that are switched off stay, and do not filter", () => {
    const terms = [term("error"), term("-path:/a b", false), term("since:5m")];
    expect(filterOf(terms)).toBe("error since:5m");
    expect(fromAddress(toAddress(terms))).toEqual(terms);
    expect(rangeOf(terms)).toBe("since:5m");
    expect(withRange(inEnglish, terms, "").map((one) => one.text)).toEqual(["error", "-path:/a b"]);
    expect(rangeOf([term("until:12:00")])).toBeNull();
  });

  test("a group is one term, in the filter and in the address", () => {
    const terms = [term("(error OR path:/x y)"), term("-(a OR (b c))"), term("~x", false)];
    expect(filterOf(terms)).toBe("(error OR path:/x y) -(a OR (b c))");
    expect(fromAddress(toAddress(terms))).toEqual(terms);
    expect(rangeOf([term("(since:5m OR error)")])).toBe("");
  });

  test("the look at a log survives its address", () => {
    const look = { filter: { levels: ["ERROR"] as const, sources: [] }, terms: [term('"a b"')], line: 7 };
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(lookToAddress(look)))
      for (const one of [value ?? []].flat()) query.append(name, one);
    expect(lookOfAddress(query)).toEqual(look);
    expect(lookOfAddress(new URLSearchParams("line=-3&level=x"))).toEqual({ ...WHOLE_LOG, filter: { ...WHOLE_LOG.filter, levels: [] } }); // prettier-ignore
  });
});

function Field({ client }: { client: PreviewClient }): ReactNode {
  const [shown, setShown] = useState<readonly Term[]>([]);
  const onTerms = useCallback((next: Term[]) => setShown(next), []);
  const terms = useTerms(client, shown, onTerms, "on_lines");
  return (
    <>
      <FilterField terms={terms} label="Filter" example="error" />
      <output>{terms.filter}</output>
    </>
  );
}

test("a term is a button that switches it off; a mistake is said in the service's sentence", async () => {
  const client = clientOf(({ path }) => {
    const text = new URL(path, "http://s").searchParams.get("text") ?? "";
    if (text.includes("colour")) return json({ detail: "“colour:” is not known." }, 400);
    if (text.includes(" too many")) return json({ detail: "Too many terms." }, 400);
    const facts = { sentence: "", negated: false, on_lines: !text.includes("who"), on_requests: true };
    return json({ text, terms: text.split(" ").map((one) => ({ text: one, ...facts })) });
  });
  const { container } = render(<Field client={client} />);
  const field = screen.getByRole("textbox", { name: "Filter" });
  const enter = (text: string): void => {
    fireEvent.change(field, { target: { value: text } });
    fireEvent.submit(field.closest("form") as HTMLFormElement);
  };
  enter("error -path:/health");
  fireEvent.click(await screen.findByRole("button", { name: "error" }));
  const filter = (): string | null | undefined => container.querySelector("output")?.textContent;
  expect(filter()).toBe("-path:/health");
  enter("colour:red");
  await waitFor(() => expect(screen.getByRole("alert").textContent).toBe("“colour:” is not known."));
  enter("too many");
  await waitFor(() => expect(screen.getByRole("alert").textContent).toBe("Too many terms."));
  enter("who:owner");
  await waitFor(() => expect(screen.getByRole("alert").textContent).toContain("not to log lines"));
  fireEvent.click(screen.getByRole("button", { name: "Remove -path:/health" }));
  expect(filter()).toBe("");
});

test("a recorded path with braces is sent as it was", () => {
  const draft = draftOfSendable({ method: "GET", target: "/a/{b}?c=d&c=e", headers: [], body: "" });
  expect(draft.path).toBe("/a/%7Bb%7D");
  expect(draft.query.map((one) => one.value)).toEqual(["d", "e"]);
});
