import { Component, type ReactNode } from "react";

import { Button, Notice } from "./controls";

interface ContainedProps {
  /** What has failed then, as the beginning of a sentence. */
  name: string;
  children: ReactNode;
}

/** Keeps an error of what is in it from everything else on the page: it is shown in its place, with a way back. */
export class Contained extends Component<ContainedProps, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: unknown): { error: Error } {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (!error) return this.props.children;
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
