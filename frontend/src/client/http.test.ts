import { expect, test, vi } from "vitest";

import { Client } from "./client";

const STATUS = "/api/v1/generations/gen_1/preview/status";
const OTHER = "https://two.example.com";

/** A service that answers its first request by a redirect, and further ones by 404; and the addresses it was asked. */
function redirecting(location: string | null, owner: string | null = "two", last = 404) {
  const asked: string[] = [];
  const tokens: (string | null)[] = [];
  const service = vi.fn((input: unknown, init?: RequestInit): Promise<Response> => {
    asked.push(String(input));
    tokens.push(new Headers(init?.headers).get("authorization"));
    expect(init?.redirect).toBe("manual");
    const headers = { ...(location !== null && { location }), ...(owner !== null && { "preview-owner": owner }) };
    return Promise.resolve(
      new Response(null, asked.length === 1 ? { status: 307, headers } : { status: last, headers }),
    );
  });
  return { asked, tokens, service };
}

function ask(url: string, service: typeof fetch): Promise<unknown> {
  return new Client(url, { token: "t", fetch: service, retryPausesMs: [] }).preview("gen_1").status();
}

test.each(["https://one.example.com", "https://one.example.com/", "https://one.example.com/some/prefix"])(
  "a redirect of the service to the owner is followed, by %s",
  async (url) => {
    const { asked, tokens, service } = redirecting(`${OTHER}${STATUS}?preview-hop=1`);
    await expect(ask(url, service)).rejects.toMatchObject({ status: 404 });
    expect(asked).toEqual([`${url.replace(/\/$/, "")}${STATUS}`, `${OTHER}${STATUS}?preview-hop=1`]);
    expect(tokens).toEqual(["Bearer t", "Bearer t"]);
  },
);

test("a redirect is followed once", async () => {
  const { asked, service } = redirecting(`${OTHER}${STATUS}?preview-hop=1`, "two", 307);
  await expect(ask("https://one.example.com", service)).rejects.toThrow("redirect");
  expect(asked).toHaveLength(2);
});

test.each([
  `${OTHER}/rewritten`,
  `${OTHER}${STATUS}?more=1`,
  `https://user@two.example.com${STATUS}`,
  `http://two.example.com${STATUS}?preview-hop=1`,
  `ftp://two.example.com${STATUS}`,
  "https://[",
  null,
])("the token is not sent to %s; the service is asked again to pass the request on", async (location) => {
  const { asked, service } = redirecting(location);
  await expect(ask("https://one.example.com/prefix", service)).rejects.toMatchObject({ status: 404 });
  const address = `https://one.example.com/prefix${STATUS}`;
  expect(asked).toEqual([address, `${address}?preview-hop=1`]);
});

test("a redirect that is not from the service is an error", async () => {
  const { asked, service } = redirecting(`${OTHER}${STATUS}?preview-hop=1`, null);
  await expect(ask("https://one.example.com", service)).rejects.toThrow("redirect");
  expect(asked).toHaveLength(1);
});
