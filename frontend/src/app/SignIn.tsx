import { type SubmitEvent, type ReactNode, useState } from "react";

import { asProblem } from "../lib/api/problem";
import { Button, classes, Notice } from "../lib/ui/controls";
import controls from "../lib/ui/controls.module.css";
import styles from "./signIn.module.css";
import { Logo } from "./Logo";

/** Why somebody has to sign in; all but the first two are reasons of the service (`?login=…`). */
export const REFUSALS = ["login_code", "state", "refused", "user", "provider"] as const;
export type SignedOutBecause = "new" | "over" | (typeof REFUSALS)[number];

const BECAUSE: Record<SignedOutBecause, string | null> = {
  new: null,
  over: "Your session has expired. Sign in again; running previews are not affected.",
  state: "This sign-in took too long, or was started in another browser. Sign in again.",
  refused: "Your identity provider refused the sign-in. Try again, or ask its administrator.",
  user: "You signed in at your identity provider, but you have no access to this service. Ask the operator of this service for access.",
  provider: "Your identity provider is not available. Try again in a moment.",
  login_code:
    "This sign-in link has been used or has expired. Paste a token, or restart “preview serve” or “preview run”, which prints a new link.",
};

interface SignInProps {
  onToken: (token: string) => Promise<void>;
  why: SignedOutBecause;
}

/** Who has no session: the one-time link, or a token. */
export function SignIn({ onToken, why }: SignInProps): ReactNode {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [provider] = useState(providerOf);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await onToken(token.trim());
    } catch (error) {
      const found = asProblem(error);
      setProblem(found.status === 401 ? "Invalid or expired token." : found.message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <main className={styles.signIn}>
      <div className={styles.card}>
        <Logo size={40} />
        <h1>Sign in to preview</h1>
        {BECAUSE[why] !== null && <Notice tone="warn">{BECAUSE[why]}</Notice>}
        {provider !== "" && (
          <>
            <a className={classes(controls.button, controls.primary, styles.provider)} href="login/oidc">
              Sign in with {provider}
            </a>
            <div className={styles.or}>or</div>
          </>
        )}
        <p>
          Open the one-time link that <code>preview serve</code> or <code>preview run</code> printed in your terminal.
        </p>
        <div className={styles.or}>or</div>
        <form onSubmit={(event) => void submit(event)}>
          <label htmlFor="token">Paste a token</label>
          <input
            id="token"
            type="password"
            autoComplete="off"
            spellCheck={false}
            className={classes(controls.field, styles.tokenField)}
            placeholder="eyJ…"
            value={token}
            aria-describedby="token-hint"
            onChange={(event) => setToken(event.target.value)}
          />
          <p id="token-hint" className={styles.tokenHint}>
            <code>preview token YOUR-NAME</code> creates one on the server.
          </p>
          {problem && (
            <Notice tone="bad" role="alert">
              {problem}
            </Notice>
          )}
          <Button kind="primary" type="submit" disabled={token.trim() === "" || isBusy}>
            {isBusy ? "Signing in…" : "Sign in"}
          </Button>
        </form>
      </div>
    </main>
  );
}

/** The name of the service's identity provider; empty without one. */
function providerOf(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="sign-in"]')?.content ?? "";
}
