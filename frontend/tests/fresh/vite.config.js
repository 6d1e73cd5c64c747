export default {
  oxc: { jsx: { runtime: "automatic" } },
  ssr: { noExternal: ["@preview/react"] },
  build: {
    manifest: true,
    // Hydration is looked at with the warnings of React.
    rolldownOptions: {
      input: { bare: "bare.jsx", hooks: "hooks.jsx", terminal: "terminal.jsx", hydrate: "hydrate.jsx" },
    },
  },
};
