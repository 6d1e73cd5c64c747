import { Component, type ReactNode } from "react";

import { Button, classes } from "../lib/ui/controls";
import tokens from "../lib/ui/tokens.module.css";
import styles from "./app.module.css";
import signInStyles from "./signIn.module.css";

/** Shown instead of an empty page when something in it has failed. What runs on the service is not touched. */
export class Mishap extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error): { error: Error } {
    return { error };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <main className={classes(tokens.root, styles.app, signInStyles.signIn)}>
        <div className={signInStyles.card} role="alert">
          <h1>Something went wrong on this page</h1>
          <p>Your previews keep running. Reload the page to see them again, with their logs.</p>
          <p>
            <code>{error.message}</code>
          </p>
          <Button kind="primary" onClick={() => location.reload()}>
            Reload
          </Button>
        </div>
      </main>
    );
  }
}
