import { expect, test } from "vitest";

import { requestOf } from "./draft";
import { filledDraft } from "../variables/references";
import { MOST_IMPORTED, readPostman } from "./postman";

const collection = (item: unknown, variable: unknown = []) => JSON.stringify({ info: { name: "c" }, variable, item });

test("a hostile collection is a sentence, or what of it is a request, and never more than can be saved", () => {
  const deep = `${'{"name":"f","item":['.repeat(5_000)}{"name":"x","request":"http://h/x"}${"]}".repeat(5_000)}`;
  expect(() => readPostman("{")).toThrow(/not a Postman collection/);
  expect(() => readPostman('{"log": {"entries": []}}')).toThrow(/not a Postman collection/);
  expect(readPostman(deep).requests).toEqual([]);
  const strange = [
    null,
    7,
    { name: {}, request: 7 },
    { name: "n", request: { method: {}, url: [], header: 3, body: 1 } },
  ];
  expect(readPostman(collection(strange)).requests.map((one) => [one.name, one.draft.method, one.draft.path])).toEqual([
    ["n", "GET", "/"],
  ]);
  const evil = { key: "__proto__", value: { toString: 1 } };
  const url = { raw: "javascript:alert(1)", query: [evil], variable: [evil] };
  const [only] = readPostman(
    collection([{ name: "x", request: { url, header: [evil, { key: "a\r\nb", value: "c" }] } }]),
  ).requests;
  expect(only?.draft.path).toBe("/");
  expect(only?.draft.headers).toEqual([]);
  expect(Object.getPrototypeOf(requestOf(only?.draft ?? ({} as never)).query)).toBe(Object.prototype);
  const many = Array.from({ length: 1_000 }, (_, at) => ({ name: `n${at}`, request: "http://h/x" }));
  const found = readPostman(collection(many));
  expect([found.requests.length, found.left]).toEqual([MOST_IMPORTED, 1_000 - MOST_IMPORTED]);
  const loop = [{ key: "a", value: "{{a}}{{a}}" }];
  expect(readPostman(collection([{ name: "l", request: "localhost:8000/{{a}}" }], loop)).requests[0]?.draft.path).toBe(
    "/{{a}}",
  );
});

test("requests have their folder, variables, parameters and bodies, and no host", () => {
  const variable = [
    { key: "base", value: "https://api.example.com/v1" },
    { key: "shop", value: "7" },
  ];
  const item = [
    {
      name: "Books",
      item: [
        {
          name: "One",
          request: {
            method: "get",
            url: {
              raw: "{{base}}/shops/{{shop}}/books/:book?page=2&all=",
              query: [
                { key: "page", value: "2" },
                { key: "all", value: "", disabled: true },
              ],
              variable: [{ key: "book", value: "dune" }],
            },
            header: [
              { key: "X-Shop", value: "{{shop}}" },
              { key: "X-Off", value: "1", disabled: true },
            ],
          },
        },
        {
          name: "Add",
          request: { method: "POST", url: "{{base}}/books", body: { mode: "raw", raw: '{"shop": {{shop}}}' } },
        },
      ],
    },
    {
      name: "Form",
      request: {
        method: "POST",
        url: { raw: "http://localhost:8000/f#x" },
        body: { mode: "urlencoded", urlencoded: [{ key: "a", value: "b c" }] },
      },
    },
    {
      name: "Files",
      request: {
        method: "POST",
        url: "http://[::1]:1/up",
        body: {
          mode: "formdata",
          formdata: [
            { key: "f", type: "file", src: "/etc/passwd" },
            { key: "n", value: "1" },
          ],
        },
      },
    },
  ];
  const read = readPostman(collection(item, variable));
  const [one, add, form, files] = read.requests;
  const values = new Map(read.variables.map(({ name, value }) => [name, value]));
  const sent = (found: typeof one) => requestOf(filledDraft(found?.draft ?? ({} as never), values));
  expect(one?.name).toBe("Books / One");
  // The variables stay variables, but for the host.
  expect(one?.draft.path).toBe("/v1/shops/{{shop}}/books/{book}");
  expect(read.variables).toEqual([{ name: "shop", value: "7", isSecret: false }]);
  expect(sent(one)).toMatchObject({
    method: "GET",
    path: "/v1/shops/7/books/dune",
    query: { page: "2" },
    headers: { "X-Shop": "7" },
  });
  expect(sent(add)).toMatchObject({ path: "/v1/books", body: '{"shop": 7}' });
  expect(requestOf(form?.draft ?? ({} as never))).toMatchObject({
    path: "/f",
    body: "a=b+c",
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
  });
  expect(files?.draft).toMatchObject({ path: "/up", bodyKind: "multipart" });
  expect(files?.draft.form).toEqual([
    { name: "f", value: "", isFile: true },
    { name: "n", value: "1", isFile: false },
  ]);
});
