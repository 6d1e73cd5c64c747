import { type ReactNode, useRef } from "react";

import { Button, classes } from "./controls";
import controls from "./controls.module.css";

interface FileButtonProps {
  /** Words of the button. */
  children: ReactNode;
  /** Name of the file's field, for screen readers. */
  label: string;
  /** Kinds of files, as for `accept` of an input. */
  accept: string;
  kind?: "normal" | "quiet";
  disabled?: boolean;
  onFile: (file: File) => void;
}

/** A button that asks for a file. The same file can be chosen again. */
export function FileButton({ children, label, accept, onFile, ...rest }: FileButtonProps): ReactNode {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button small icon="upload" onClick={() => input.current?.click()} {...rest}>
        {children}
      </Button>
      <input
        ref={input}
        type="file"
        accept={accept}
        className={classes(controls.hidden)}
        tabIndex={-1}
        aria-label={label}
        onChange={(event) => {
          const file = event.target.files?.[0];
          if (file) onFile(file);
          event.target.value = "";
        }}
      />
    </>
  );
}
