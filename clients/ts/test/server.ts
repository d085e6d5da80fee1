// A real server for tests, and proxies that do what some networks do.

import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import http from "node:http"
import net from "node:net"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import readline from "node:readline"

const binary = process.env.TWOHOP_BIN
if (!binary) throw new Error("TWOHOP_BIN names no server; run this by go test ./clients/ts")

export class Server {
  readonly dir = mkdtempSync(join(tmpdir(), "twohop-ts-"))
  port = 0
  #process?: ChildProcess
  #log = ""

  constructor(readonly config = "engine: memory\n") {}

  get url(): string {
    return "http://127.0.0.1:" + this.port
  }

  async start(): Promise<this> {
    const file = join(this.dir, "twohop.yaml")
    writeFileSync(file, `${this.config}listen: 127.0.0.1:${this.port}\ndata: ${join(this.dir, "data")}\nlog: {format: json}\n`)
    const p = (this.#process = spawn(binary!, ["serve", "--config", file], { stdio: ["ignore", "ignore", "pipe"] }))
    await new Promise<void>((resolve, reject) => {
      readline.createInterface(p.stderr!).on("line", (line) => {
        this.#log += line + "\n"
        const { msg, address } = JSON.parse(line) as { msg: string; address?: string }
        if (msg !== "serving") return
        this.port = Number(/\d+$/.exec(address!)![0])
        resolve()
      })
      p.once("exit", () => reject(new Error("the server ended:\n" + this.#log)))
    })
    return this
  }

  async end(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const p = this.#process!
    if (p.exitCode !== null || p.signalCode) return
    const gone = once(p, "exit")
    p.kill(signal)
    await gone
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end()
    rmSync(this.dir, { recursive: true, force: true })
  }

  async create(channel: string, type = "application/json"): Promise<void> {
    const r = await fetch(`${this.url}/v1/stream/${channel}`, { method: "PUT", headers: { "Content-Type": type } })
    if (!r.ok) throw new Error("create: " + r.status)
  }

  /** Publishes as another client would; values is one request. */
  async publish(channel: string, values: unknown[], headers: Record<string, string> = {}): Promise<string> {
    const r = await fetch(`${this.url}/v1/stream/${channel}`, {
      method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(values),
    })
    if (!r.ok) throw new Error("publish: " + r.status)
    return r.headers.get("Stream-Next-Offset")!
  }
}

export interface Proxy {
  url: string
  /** Whether WebSockets get through, and whether responses come before they are whole. */
  upgrade: boolean
  stream: boolean
  seen: string[]
  close(): void
}

/** A proxy of HTTP. */
export async function proxy(to: Server, upgrade: boolean, stream: boolean): Promise<Proxy> {
  const p: Proxy = { url: "", upgrade, stream, seen: [], close: () => {} }
  const sockets = new Set<net.Socket>()
  const server = http.createServer((req, res) => {
    p.seen.push(req.url!)
    const up = http.request({ port: to.port, host: "127.0.0.1", path: req.url, method: req.method, headers: req.headers }, (answer) => {
      if (p.stream) {
        res.writeHead(answer.statusCode!, answer.headers)
        answer.pipe(res)
        return
      }
      const chunks: Buffer[] = []
      answer.on("data", (c: Buffer) => chunks.push(c))
      answer.on("end", () => {
        res.writeHead(answer.statusCode!, answer.headers)
        res.end(Buffer.concat(chunks))
      })
      answer.on("error", () => res.destroy())
    })
    up.on("error", () => res.destroy())
    res.on("close", () => up.destroy())
    req.pipe(up)
  })
  server.on("upgrade", (req, socket: net.Socket, head) => {
    p.seen.push(req.url!)
    if (!p.upgrade) {
      socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
      return
    }
    const up = net.connect(to.port, "127.0.0.1", () => {
      up.write(`${req.method} ${req.url} HTTP/1.1\r\n` + req.rawHeaders.reduce((s, v, i) => s + v + (i % 2 ? "\r\n" : ": "), "") + "\r\n")
      up.write(head)
      up.pipe(socket).pipe(up)
    })
    up.on("error", () => socket.destroy())
    socket.on("error", () => up.destroy())
    socket.on("close", () => up.destroy())
  })
  server.on("connection", (s: net.Socket) => {
    sockets.add(s)
    s.on("close", () => sockets.delete(s))
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  p.url = "http://127.0.0.1:" + (server.address() as AddressInfo).port
  p.close = () => {
    server.close()
    for (const s of sockets) s.destroy()
  }
  return p
}

/** Waits until something holds. */
export async function until(what: string, holds: () => boolean, ms = 20_000): Promise<void> {
  for (const end = Date.now() + ms; !holds(); ) {
    if (Date.now() > end) throw new Error("not within " + ms + " ms: " + what)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
