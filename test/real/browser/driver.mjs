// Holds a Chromium and does what the tests ask for: a line of JSON on stdin is one
// request, a line on stdout its answer. It ends, and the browser with it, with stdin.

import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"

const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
})
const contexts = []
const pages = []

const does = {
  async context() {
    const context = await browser.newContext()
    const faults = []
    context.on("console", (m) => {
      // For an icon the browser asks by itself.
      if (!/error|warning/.test(m.type()) || m.location().url.endsWith("/favicon.ico")) return
      faults.push(`console.${m.type()}: ${m.text()} (${m.location().url})`)
    })
    context.on("weberror", (e) => faults.push(`exception: ${e.error()}`))
    await context.addInitScript({ path: fileURLToPath(new URL("page.js", import.meta.url)) })
    return contexts.push({ context, faults }) - 1
  },
  clock: ({ of }) => contexts[of].context.clock.install(),
  async page({ of, url }) {
    const page = await contexts[of].context.newPage()
    await page.goto(url)
    return pages.push(page) - 1
  },
  evaluate: ({ of, expression }) => pages[of].evaluate(expression),
  reload: async ({ of }) => void (await pages[of].reload()),
  forward: ({ of, milliseconds }) => pages[of].clock.fastForward(milliseconds),
  closePage: ({ of }) => pages[of].close(),
  offline: ({ of, offline }) => contexts[of].context.setOffline(offline),
  async closeContext({ of }) {
    await contexts[of].context.close()
    return contexts[of].faults
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line)
  let answer
  try {
    answer = { value: (await does[request.do](request)) ?? null }
  } catch (e) {
    answer = { error: String(e) }
  }
  process.stdout.write(JSON.stringify(answer) + "\n")
}
await browser.close()
