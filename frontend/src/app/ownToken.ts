import { PreviewClient } from "../lib";

let token: string | undefined;

/** Keep a pasted token that the service does not trade for a cookie: in memory only, gone with the page. */
export function keepToken(given: string | undefined): void {
  token = given;
}

/** The page's one client: it relies on the session cookie, unless there is a token. */
export const client = new PreviewClient({ token: () => token });
