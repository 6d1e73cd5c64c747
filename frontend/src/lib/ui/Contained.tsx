import { Component, type ReactNode } from "react";

import { type Untranslated, useTranslate } from "../texts/translate";
import { Button, Notice } from "./controls";

interface ContainedProps {
  /** What has failed then, as the beginning of a sentence. */
  name: Untranslated;
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
    return <Failed name={this.props.name} message={error.message} onAgain={() => this.setState({ error: null })} />;
  }
}

/** What is shown in its place: with a way back, or, after an update of the page, a new beginning. */
function Failed({ name, message, onAgain }: { name: Untranslated; message: string; onAgain: () => void }): ReactNode {
  const t = useTranslate();
  const isGone = NOT_FETCHED.test(message);
  return (
    <Notice
      tone="bad"
      role="alert"
      actions={
        <Button small onClick={isGone ? () => location.reload() : onAgain}>
          {isGone ? t("Reload the page") : t("Show it again")}
        </Button>
      }
    >
      {isGone
        ? t("{part} could not be loaded. The page may have been updated since it was opened.", { part: t(name) })
        : t("{part} cannot be shown: {message}", { part: t(name), message })}
    </Notice>
  );
}
