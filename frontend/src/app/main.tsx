import { createRoot } from "react-dom/client";

import { App } from "./App";
import { Mishap } from "./Mishap";

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <Mishap>
      <App />
    </Mishap>,
  );
