// node build.mjs bundle | check | size | test [file...]
//
// bundle writes twohop.js, which the server embeds; check says whether it is what the
// sources make; size prints its bytes and gzipped bytes; test runs the tests.
import { spawnSync } from "node:child_process"
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { build } from "esbuild"

process.chdir(fileURLToPath(new URL(".", import.meta.url)))

const bundle = async () => {
  const { outputFiles } = await build({
    entryPoints: ["src/bundle.ts"],
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2022"],
    legalComments: "none",
    banner: { js: "/* twohop client, Apache-2.0 */" },
    write: false,
  })
  return Buffer.from(outputFiles[0].contents)
}

const [command, ...files] = process.argv.slice(2)
switch (command) {
  case "bundle":
    writeFileSync("twohop.js", await bundle())
    break
  case "check":
    if (!(await bundle()).equals(readFileSync("twohop.js"))) {
      console.error("twohop.js is not what the sources make: run npm run build, and commit it")
      process.exit(1)
    }
    break
  case "size": {
    const b = await bundle()
    console.log(b.length, gzipSync(b, { level: 9 }).length)
    break
  }
  case "test": {
    const out = "node_modules/.test"
    rmSync(out, { recursive: true, force: true })
    const names = files.length ? files : readdirSync("test").filter((f) => f.endsWith(".test.ts")).map((f) => "test/" + f)
    await build({
      entryPoints: names,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      sourcemap: "inline",
      packages: "external",
      outdir: out,
      outExtension: { ".js": ".mjs" },
    })
    const made = readdirSync(out).filter((f) => f.endsWith(".mjs")).map((f) => out + "/" + f)
    const { status } = spawnSync(
      process.execPath,
      ["--experimental-websocket", "--disable-warning=ExperimentalWarning", "--enable-source-maps", "--test", "--test-reporter=spec", ...made],
      { stdio: "inherit" },
    )
    process.exit(status ?? 1)
  }
  default:
    console.error("node build.mjs bundle | check | size | test [file...]")
    process.exit(2)
}
