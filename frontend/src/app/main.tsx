import { lazy, Suspense } from "react";
import { createRoot } from "react-dom/client";

import { placeOf } from "../guest/place";
import { App } from "./App";
import { Mishap } from "./Mishap";

// A guest of a share link sees one preview, and has no account.
const Guest = lazy(async () => ({ default: (await import("../guest/GuestApp")).GuestApp }));
const isGuest = placeOf(location.hash) !== null;

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <Mishap>
      {isGuest ? (
        <Suspense>
          <Guest />
        </Suspense>
      ) : (
        <App />
      )}
    </Mishap>,
  );
