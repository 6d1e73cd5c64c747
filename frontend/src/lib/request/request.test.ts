import { describe, expect, test } from "vitest";

import { Problem } from "../api/problem";
import type { Endpoint } from "../api/types";
import { explain } from "../launch/explain";
import { inEnglish } from "../texts/translate";
import { contentOf, sizeOf, tokenIn } from "./answer";
import {
  ANY_BEARER,
  withSecrets,
  draftOf,
  filledPath,
  keepable,
  obstacle,
  pathFields,
  requestOf,
  target,
  warning,
} from "./draft";
import { snippet } from "./snippets";

const ENDPOINT: Endpoint = {
  method: "PUT",
  path: "/shops/{shop}/files/{name:path}",
  summary: "",
  description: "",
  tags: [],
  query: { page: "integer" },
  body: { name: "string", count: "integer", tags: ["string"], deep: { ok: "boolean" } },
  response: null,
  source: "static",
};

describe("a draft", () => {
  const draft = draftOf(ENDPOINT);

  test("is filled in from what is known of the endpoint", () => {
    expect(draft.pathFields.map((one) => one.name)).toEqual(["shop", "name"]);
    expect(draft.query).toEqual([{ name: "page", value: "", type: "integer" }]);
    expect(JSON.parse(draft.body)).toEqual({ name: "", count: 0, tags: [""], deep: { ok: false } });
    expect(draft.headers[0]?.value).toBe("application/json");
  });

  test("cannot be sent without a value for each part of the path, and warns of a body that is not JSON", () => {
    expect(obstacle(inEnglish, draft)).toContain("shop");
    const filled = { ...draft, pathFields: draft.pathFields.map((one) => ({ ...one, value: "x" })) };
    expect(obstacle(inEnglish, filled)).toBeNull();
    expect(obstacle(inEnglish, { ...filled, body: "{" })).toBeNull();
    expect(warning(inEnglish, { ...filled, body: "{" })).toContain("not JSON");
    expect(requestOf({ ...filled, body: "{" }).body).toBe("{");
    expect(obstacle(inEnglish, { ...filled, path: "http://elsewhere" })).toContain("slash");
  });

  test("escapes what is put into the path, and keeps slashes only where a path is meant", () => {
    const filled = { ...draft, pathFields: [field("shop", "a/b?c"), field("name", "x/y z")] };
    expect(filledPath(filled)).toBe("/shops/a%2Fb%3Fc/files/x/y%20z");
    expect(target({ ...filled, query: [field("page", "2"), field("none", "")] })).toBe(
      "/shops/a%2Fb%3Fc/files/x/y%20z?page=2",
    );
  });

  test("becomes the envelope that the service wants", () => {
    const sent = requestOf({ ...draft, query: [field("a", "1"), field("a", "2")], body: '{"x": 1}' });
    expect(sent).toMatchObject({ method: "PUT", query: { a: ["1", "2"] }, body: '{"x": 1}' });
    expect(requestOf({ ...draft, method: "GET" }).body).toBeNull();
    const text = { ...draft, headers: [field("Content-Type", "text/plain")], body: "hi" };
    expect(requestOf(text).body).toBe("hi");
  });

  test("keeps the values of path fields while the path is edited", () => {
    expect(pathFields("/a/{shop}/{more}", [field("shop", "7")]).map((one) => one.value)).toEqual(["7", ""]);
  });
});

describe("a draft of a described endpoint", () => {
  const described: Endpoint = {
    ...ENDPOINT,
    path: "/items",
    parameters: [
      {
        name: "size",
        location: "query",
        type: "string",
        required: false,
        default: "m",
        choices: ["s", "m"],
        sample: "m",
        description: "",
      },
      {
        name: "x-trace",
        location: "header",
        type: "string",
        required: true,
        default: null,
        choices: [],
        sample: "t",
        description: "",
      },
    ],
    bodies: [
      { content_type: "multipart/form-data", sample: { title: "a", file: "" }, files: ["file"], required: true },
    ],
    credentials: [{ scheme: "Token", kind: "bearer", location: "", name: "" }],
  };
  const draft = draftOf(described);

  test("has choices, defaults, headers and a form", () => {
    expect(draft.query[0]).toMatchObject({ value: "", choices: ["s", "m"], fallback: "m" });
    expect(draft.headers[0]).toMatchObject({ name: "x-trace", value: "t", required: true });
    expect(draft.form).toEqual([
      { name: "title", value: "a", isFile: false },
      { name: "file", value: "", isFile: true },
    ]);
  });

  test("is sent as bytes of a form, and a secret is sent and not kept", () => {
    const sent = requestOf({
      ...draft,
      secrets: { Token: "s3cret" },
      form: [
        { name: 'a"\r\n', value: "1", isFile: false },
        { name: "f", value: "", isFile: true, base64: btoa("hi") },
      ],
    });
    expect(sent).toMatchObject({ encoding: "base64", headers: { Authorization: "Bearer s3cret" } });
    const text = atob(sent.body as string);
    expect(text).toContain('name="a%22%0D%0A"\r\n\r\n1\r\n');
    expect(text).toContain("application/octet-stream\r\n\r\nhi\r\n");
    expect(JSON.stringify(keepable({ ...draft, secrets: { Token: "s3cret" } }))).not.toContain("s3cret");
  });
});

test("a token of a response is found, and sent with later requests", () => {
  expect(tokenIn({ data: { access_token: "abc.def-123" } })).toBe("abc.def-123");
  expect(tokenIn({ token: "with a line\nbreak", count: 3 })).toBeNull();
  const draft = withSecrets(draftOf({ ...ENDPOINT, path: "/me" }), { [ANY_BEARER]: "abc.def-123" });
  expect(requestOf(draft).headers.Authorization).toBe("Bearer abc.def-123");
});

describe("copied as code", () => {
  const draft = {
    ...draftOf(ENDPOINT),
    method: "POST",
    path: "/it's",
    pathFields: [],
    query: [],
    body: '{"a": [true, null]}',
  };

  test("curl is quoted for a shell", () => {
    const code = snippet("curl", draft, "http://localhost:3001/");
    expect(code).toContain(`-X POST 'http://localhost:3001/it'\\''s'`);
    expect(code).toContain(`--data-raw '{"a": [true, null]}'`);
  });

  test("httpx is Python", () => {
    expect(snippet("httpx", draft, "http://localhost:3001")).toContain(`json={"a": [True, None]},`);
  });

  test("fetch is JavaScript", () => {
    expect(snippet("fetch", draft, "http://localhost:3001")).toContain(`body: JSON.stringify({"a":[true,null]}),`);
  });
});

describe("an answer", () => {
  const answer = (type: string, body: string, encoding?: "base64") =>
    contentOf(inEnglish, {
      status_code: 200,
      headers: { "content-type": type },
      body,
      elapsed_ms: 1,
      ...(encoding && { encoding }),
    });

  test("is shown as what it is", () => {
    expect(answer("application/json", '{"a":1}')).toMatchObject({ kind: "json", value: { a: 1 } });
    expect(answer("application/problem+json; charset=utf-8", "{}").kind).toBe("json");
    expect(answer("application/json", "{").kind).toBe("text");
    expect(answer("text/html; charset=utf-8", "<p>").kind).toBe("html");
    expect(answer("image/png", "AAAA", "base64")).toEqual({ kind: "image", address: "data:image/png;base64,AAAA" });
    expect(answer("image/svg+xml", "<svg/>").kind).toBe("image");
    expect(answer("application/zip", "AAAA", "base64").kind).toBe("binary");
    expect(answer("text/plain", "").kind).toBe("empty");
  });

  test("has its size in bytes", () => {
    expect(sizeOf({ status_code: 200, headers: {}, body: "ü", elapsed_ms: 1 })).toBe(2);
    expect(sizeOf({ status_code: 200, headers: {}, body: "AAA=", elapsed_ms: 1, encoding: "base64" })).toBe(2);
  });
});

describe("a problem", () => {
  test("over the limit names what is in the way, and offers to stop it", () => {
    const problem = new Problem("The free tier allows 1 preview(s) at a time.", {
      status: 409,
      code: "preview_limit_reached",
      details: { limit: 1, previews: [{ preview_id: "p1", generation_id: "g1" }] },
    });
    const { sentence, ways } = explain(inEnglish, problem, "g2", () => "Bookshop");
    expect(sentence).toContain("1 running preview (“Bookshop”)");
    expect(ways).toEqual([{ kind: "stop", previewId: "p1", generationId: "g1", isThis: false }]);
  });

  test("of the same generation offers to stop that one", () => {
    const problem = new Problem("Taken.", {
      code: "already_running",
      details: { preview_id: "p1", generation_id: "g1" },
    });
    expect(explain(inEnglish, problem, "g1").ways).toMatchObject([{ kind: "stop", isThis: true }]);
  });

  test("that may pass can be tried again; files that cannot run cannot", () => {
    expect(explain(inEnglish, new Problem("No port.", { code: "no_port_available" }), "g").ways).toEqual([
      { kind: "again" },
    ]);
    const missing = new Problem("No.", { code: "invalid_generation", details: { missing_files: ["main.py"] } });
    expect(explain(inEnglish, missing, "g")).toMatchObject({
      facts: ["Missing: main.py"],
      ways: [{ kind: "settings" }],
    });
    const longest = new Problem("The free tier …", { status: 400, code: "x", details: { limit_s: 3600 } });
    expect(explain(inEnglish, longest, "g")).toMatchObject({ ways: [{ kind: "none" }] });
    expect(explain(inEnglish, longest, "g").sentence).toContain("maximum lifetime of 1 h");
    expect(explain(inEnglish, new Problem("", { code: "unauthenticated" }), "g").ways).toEqual([{ kind: "sign-in" }]);
  });
});

function field(name: string, value: string) {
  return { name, value, type: null };
}
