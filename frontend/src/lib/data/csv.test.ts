import { expect, test } from "vitest";

import { csvOf } from "./csv";

test("NULL and an empty text differ, and quotes and line ends stay in their field", () => {
  const columns = [
    { name: "id", type: "integer" },
    { name: 'a "name"', type: "text" },
  ];
  const rows = [
    ["1", null],
    ["2", ""],
    ["3", 'two\nlines, "quoted"'],
  ];
  expect(csvOf({ columns, rows })).toBe('"id","a ""name"""\r\n"1",\r\n"2",""\r\n"3","two\nlines, ""quoted"""\r\n');
});
