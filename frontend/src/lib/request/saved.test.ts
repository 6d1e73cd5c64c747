import { beforeEach, expect, test } from "vitest";

import { EMPTY } from "./draft";
import { earlierFilter } from "./Earlier";
import { isDraft, loadSaved, MAX_SAVED, storeSaved, withSaved } from "./saved";

beforeEach(() => localStorage.clear());

test("a request is saved without its secrets, and a second one of that name replaces it", () => {
  const draft = {
    ...EMPTY,
    headers: [
      { name: "Authorization", value: "Bearer abc", type: null },
      { name: "X-Shelf", value: "3", type: null },
    ],
    secrets: { bearer: "abc" },
  };
  storeSaved("g1", withSaved(withSaved([], " books ", EMPTY), "books", draft));
  const [saved, ...others] = loadSaved("g1");
  expect(others).toEqual([]);
  expect(saved?.draft.headers.map(({ value }) => value)).toEqual(["", "3"]);
  expect(Object.values(localStorage).join()).not.toContain("abc");
  expect(loadSaved("g2")).toEqual([]);
});

test("their number and what is not readable are bounded", () => {
  let saved = loadSaved("g1");
  for (let at = 0; at < MAX_SAVED; at++) saved = withSaved(saved, `n${at}`, EMPTY);
  expect(() => withSaved(saved, "one more", EMPTY)).toThrow(/At most/);
  expect(() => withSaved([], "  ", EMPTY)).toThrow(/name/);
  localStorage.setItem("preview:saved-requests:g1", '[{"name": 1}, {"name": "a", "draft": {"method": "GET"}}, 7]');
  expect(loadSaved("g1")).toEqual([]);
  localStorage.setItem("preview:saved-requests:g1", "{");
  expect(loadSaved("g1")).toEqual([]);
});

test("the filter of an endpoint's requests stands for its parameters", () => {
  expect(earlierFilter({ ...EMPTY, method: "PUT", path: "/books/{book_id:int}/pages/{n}" })).toBe(
    "method:PUT path:/books/*/pages/*",
  );
  expect(earlierFilter({ ...EMPTY, path: "/a b" })).toBe('method:GET path:"/a b"');
});

test("what another client or version has stored is only edited if it can be", () => {
  expect(isDraft(EMPTY)).toBe(true);
  const field = { name: "a", value: "b", type: null };
  expect(isDraft({ ...EMPTY, query: [field], cookies: [field] })).toBe(true);
  for (const more of [{ query: [{ name: 1 }] }, { headers: [null] }, { body: {} }, { cookies: "x" }, { form: {} }])
    expect(isDraft({ ...EMPTY, ...more })).toBe(false);
  expect([isDraft(null), isDraft("x"), isDraft([])]).toEqual([false, false, false]);
});
