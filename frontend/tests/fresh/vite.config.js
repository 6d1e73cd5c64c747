export default {
  oxc: { jsx: { runtime: "automatic" } },
  ssr: { noExternal: ["@preview/react"] },
  build: {
    manifest: true,
    rolldownOptions: { input: { bare: "bare.jsx", hooks: "hooks.jsx", terminal: "terminal.jsx" } },
  },
};
