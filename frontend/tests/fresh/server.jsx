import { version } from "react";
import { renderToString } from "react-dom/server";

import { App } from "./App.jsx";

export { version };

export function render(baseUrl) {
  return renderToString(<App baseUrl={baseUrl} />);
}
