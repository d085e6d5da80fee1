// node build.mjs bundle | check | size | test [file...]
//
// bundle writes twohop.js, which the server embeds; check says whether it is what the
// sources make; size fails if the script, or what is left of it
// when a page takes less, is too large; test runs the tests.
import { spawnSync } from "node:child_process"
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { build } from "esbuild"
import { minify } from "terser"

process.chdir(fileURLToPath(new URL(".", import.meta.url)))

// Names of members that only this package sees, which the script need not spell out.
// None of them may be a name of the wire, of a browser, or of an event of the machine.
const internal =
  "again answered best asked base broke blocked clock counts cursor deliver env expect failure fails fed feed forced frames isMade item joiners lane " +
  "lanes last lasted lost made next nextTransport note options ask pace patience phase place places pump reachable settle sinks subs suspects sync tried until useful wanted watch over"

/** What an entry point makes of the sources, as small as it gets. */
const bundle = async (contents) => {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: process.cwd() + "/src", loader: "ts" },
    bundle: true,
    format: "esm",
    target: "es2022",
    minifySyntax: true,
    mangleProps: new RegExp(`^(${internal.replaceAll(" ", "|")})$`),
    write: false,
  })
  const { code } = await minify(outputFiles[0].text, {
    module: true,
    ecma: 2022,
    compress: {
      passes: 4, inline: 1, conditionals: false, if_return: false, sequences: false, lhs_constants: false, keep_fargs: false,
      pure_getters: true, unsafe: true, unsafe_arrows: true, unsafe_math: true, unsafe_methods: true,
    },
  })
  return Buffer.from(code + "\n")
}

// As src/bundle.ts has it: named here, it is kept although the package says that its modules do nothing by themselves.
const everything = readFileSync("src/bundle.ts", "utf8")
const gzipped = (b) => gzipSync(b, { level: 9 }).length

// The largest that a page may have to load, in bytes after gzip.
const sizes = {
  everything: [everything, 9 * 1024],
  "event streams and polls": ['import { connectWith } from "./core.js"; import { sse } from "./sse.js"; import { poll } from "./poll.js"; connectWith({ sse, poll })', 8 * 1024],
  "polls": ['import { connectWith } from "./core.js"; import { poll } from "./poll.js"; connectWith({ poll })', 7.75 * 1024],
  "nothing but the error": ['import { TwohopError } from "./index.js"; console.log(TwohopError)', 400],
}

const [command, ...files] = process.argv.slice(2)
switch (command) {
  case "bundle":
    writeFileSync("twohop.js", await bundle(everything))
    break
  case "check":
    if (!(await bundle(everything)).equals(readFileSync("twohop.js"))) {
      console.error("twohop.js is not what the sources make: run npm run build, and commit it")
      process.exit(1)
    }
    break
  case "size":
    for (const [name, [contents, most]] of Object.entries(sizes)) {
      const b = await bundle(contents)
      const n = gzipped(b)
      console.log(`${name}: ${b.length} bytes, ${n} after gzip, of ${most}`)
      if (n > most) process.exitCode = 1
    }
    break
  case "test": {
    const out = "node_modules/.test"
    rmSync(out, { recursive: true, force: true })
    const names = files.length ? files : readdirSync("test").filter((f) => f.endsWith(".test.ts")).map((f) => "test/" + f)
    await build({
      absWorkingDir: process.cwd(),
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
      { stdio: "inherit", timeout: 240_000 }, // a test that fails may leave its server running
    )
    process.exit(status ?? 1)
  }
  default:
    console.error("node build.mjs bundle | check | size | test [file...]")
    process.exit(2)
}
