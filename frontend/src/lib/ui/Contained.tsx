import { Component, type ReactNode } from "react";

import { Button, Notice } from "./controls";

interface ContainedProps {
  /** What has failed then, as the beginning of a sentence. */
  name: string;
  children: ReactNode;
}

// What Chromium, Firefox and Safari say when a part of the page cannot be fetched: after an update it has another name.
const NOT_FETCHED = /dynamically imported module|module script failed/i;

/** Keeps an error of what is in it from everything else on the page: it is shown in its place, with a way back. */
export class Contained extends Component<ContainedProps, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: unknown): { error: Error } {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (!error) return this.props.children;
    if (NOT_FETCHED.test(error.message))
      return (
        <Notice
          tone="bad"
          role="alert"
          actions={
            <Button small onClick={() => location.reload()}>
              Reload the page
            </Button>
          }
        >
          {this.props.name} could not be loaded. The page may have been updated since it was opened.
        </Notice>
      );
    return (
      <Notice
        tone="bad"
        role="alert"
        actions={
          <Button small onClick={() => this.setState({ error: null })}>
            Show it again
          </Button>
        }
      >
        {this.props.name} cannot be shown: {error.message}
      </Notice>
    );
  }
}
