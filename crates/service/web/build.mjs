// Bundles the page into ../assets, where the service embeds it from, or into the folder that is named.
import { build } from "esbuild";
import { readFile, rm, mkdir, writeFile, copyFile } from "node:fs/promises";

const out = process.argv[2] ?? "../assets";
await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({
  entryPoints: { app: "src/main.ts", theme: "src/theme.ts", documents: "src/documents.ts" },
  bundle: true,
  minify: true,
  target: "es2022",
  outdir: out,
  logLevel: "warning",
  legalComments: "eof",
});
await copyFile("src/index.html", `${out}/index.html`);
await copyFile("src/icon.svg", `${out}/icon.svg`);
const uplot = await readFile("node_modules/uplot/LICENSE", "utf8");
const { version } = JSON.parse(await readFile("node_modules/uplot/package.json", "utf8"));
await writeFile(`${out}/LICENSES.txt`, `app.js and app.css contain uPlot ${version}, under this licence:\n\n${uplot}`);
