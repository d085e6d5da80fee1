// The Durable Streams project's own TypeScript client, unchanged, against the
// server that conformance_test.go started: what it is documented to do works.
import { randomUUID } from "node:crypto"
import { describe, expect, it } from "vitest"
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client"

const base = process.env.TWOHOP_URL
if (!base) {
  throw new Error("TWOHOP_URL names no server; run this by go test ./test/conformance")
}
const fresh = () => `${base}/v1/stream/client/${randomUUID()}`
type Item = { n: number }
const upTo = (n: number): Item[] => Array.from({ length: n }, (_, i) => ({ n: i }))

describe("read", () => {
  it("reads all that is there, and from a saved offset", async () => {
    const url = fresh()
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    for (const item of upTo(20)) {
      await handle.append(JSON.stringify(item))
    }
    const first = await stream<Item>({ url, live: false })
    expect(await first.json()).toEqual(upTo(20))
    await handle.append(JSON.stringify({ n: 20 }))
    const rest = await stream<Item>({ url, live: false, offset: first.offset })
    expect(await rest.json()).toEqual([{ n: 20 }])
    expect((await handle.head()).offset).toBe(rest.offset)
  })

  it("reads text and bytes as they were written", async () => {
    const text = await DurableStream.create({ url: fresh(), contentType: "text/plain" })
    await text.append("Grüße\n")
    await text.append("aus Köln")
    expect(await (await text.stream({ live: false })).text()).toBe("Grüße\naus Köln")

    const bytes = await DurableStream.create({ url: fresh(), contentType: "application/octet-stream" })
    await bytes.append(new Uint8Array([0, 255, 10, 13]))
    expect(await (await bytes.stream({ live: false })).body()).toEqual(new Uint8Array([0, 255, 10, 13]))
  })

  it("says that a stream is not there", async () => {
    await expect(stream({ url: fresh(), live: false })).rejects.toMatchObject({ status: 404 })
  })
})

describe.each(["sse", "long-poll", true] as const)("live: %s", (live) => {
  it("follows what is appended, in order, and ends when the stream is closed", async () => {
    const url = fresh()
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    await handle.append(JSON.stringify({ n: 0 }))
    const response = await stream<Item>({ url, live })
    const got: Item[] = []
    response.subscribeJson(async (batch) => {
      got.push(...batch.items)
    })
    for (const item of upTo(30).slice(1)) {
      await handle.append(JSON.stringify(item))
    }
    await handle.close()
    await response.closed // which may come before the last batch is handed over
    await expect.poll(() => got).toEqual(upTo(30))
  })

  it("goes on where another reader stopped", async () => {
    const url = fresh()
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    await handle.append(JSON.stringify({ n: 0 }))
    const caughtUp = await stream<Item>({ url, live: false })
    await caughtUp.json()
    const response = await stream<Item>({ url, live, offset: caughtUp.offset })
    await handle.append(JSON.stringify({ n: 1 }))
    await handle.close()
    const got: Item[] = []
    response.subscribeJson(async (batch) => {
      got.push(...batch.items)
    })
    await response.closed
    await expect.poll(() => got).toEqual([{ n: 1 }])
  })
})

describe("producer", () => {
  it("writes ten thousand records once and in order, in batches", async () => {
    const url = fresh()
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    const failures: Error[] = []
    const producer = new IdempotentProducer(handle, "p", { autoClaim: true, onError: (e) => failures.push(e) })
    for (const item of upTo(10_000)) {
      producer.append(JSON.stringify(item))
    }
    await producer.flush()
    await producer.close()
    expect(failures).toEqual([])
    // Without live: false, with which the client reads a single page.
    expect(await (await stream<Item>({ url })).json()).toEqual(upTo(10_000))
  })

  it("is fenced by a younger one", async () => {
    const url = fresh()
    const handle = await DurableStream.create({ url, contentType: "application/json" })
    const failures: Error[] = []
    const old = new IdempotentProducer(handle, "p", { onError: (e) => failures.push(e) })
    old.append(JSON.stringify({ n: 0 }))
    await old.flush()
    const young = new IdempotentProducer(handle, "p", { epoch: 1 })
    young.append(JSON.stringify({ n: 1 }))
    await young.flush()
    old.append(JSON.stringify({ n: 2 }))
    await old.flush()
    expect(failures.map((e) => e.name)).toEqual(["StaleEpochError"])
    expect(await (await stream<Item>({ url, live: false })).json()).toEqual(upTo(2))
  })
})
