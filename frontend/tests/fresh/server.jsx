import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";

import { version } from "react";
import { renderToPipeableStream, renderToString } from "react-dom/server";

import { App } from "./App.jsx";

export { version };

export function render(baseUrl) {
  return renderToString(<App baseUrl={baseUrl} />);
}

/** The whole page, with what is loaded later, as frameworks send it. */
export function stream(baseUrl) {
  const sent = new PassThrough();
  const { pipe } = renderToPipeableStream(<App baseUrl={baseUrl} />, { onAllReady: () => pipe(sent) });
  return text(sent);
}
