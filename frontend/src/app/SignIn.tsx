import { type SubmitEvent, type ReactNode, useState } from "react";

import { asProblem } from "../lib/api/problem";
import { Button, classes, Notice } from "../lib/ui/controls";
import controls from "../lib/ui/controls.module.css";
import styles from "./signIn.module.css";
import { Logo } from "./Logo";

export type SignedOutBecause = "new" | "over" | "used";

const BECAUSE: Record<SignedOutBecause, string | null> = {
  new: null,
  over: "Your session has expired. Sign in again; running previews are not affected.",
  used: "This login link has been used or has expired. Request a new one, or paste a token.",
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
