import "@preview/react/style.strict.css";

import { hydrateRoot } from "react-dom/client";

import { App } from "./App.jsx";

hydrateRoot(document.getElementById("app"), <App baseUrl={location.origin} />, {
  onRecoverableError: (error) => console.error(`not hydrated: ${error}`),
});
