// WebSocket (PROTOCOL.md 8): one socket for all channels, and for publishes.

import { asError, lost, TwohopError } from "./errors.js"
import { tokenOf } from "./http.js"
import { ends } from "./lane.js"
import type { Lane, Open } from "./lane.js"
import type { Frame } from "./types.js"

/** Channels in one frame. */
const most = 1000

export const ws: Open = (line) => {
  const { env } = line
  const has = new Set<string>()
  const asked = new Map<unknown, string[]>()
  let socket: WebSocket | undefined
  let ids = 0
  let welcome = false
  let closed = false
  let refresh: unknown

  const send = (frame: object): void => socket!.send(JSON.stringify(frame))

  // If that fails, the server ends the connection when the token does, and the next one asks again.
  const renew = (): Promise<unknown> => tokenOf(env).then((token) => closed || send({ type: "token", token }), () => {})

  function receive(f: Frame): void {
    if (f.type === "welcome") {
      welcome = true
      lane.maxMessage = f.maxMessage
      line.expect(2.5 * f.heartbeat!, "lost")
      line.opened()
      if (typeof env.token === "function") void renew() // the answer tells how long the token lasts
    } else if (f.type === "ping") send({ type: "pong" })
    else if (f.type === "token") {
      if (f.expires) refresh = env.clock.set(() => void renew(), Math.min(Math.max(f.expires * 0.8, 1000), 2 ** 31 - 1))
    } else if (!f.channel && f.type === "error" && asked.has(f.id)) {
      // The whole list was refused.
      for (const channel of asked.get(f.id)!) receive({ ...f, id: undefined, channel })
    } else {
      if (ends(f)) has.delete(f.channel!)
      line.frames([f])
    }
  }

  const lane: Lane & { maxMessage?: number } = {
    sync(again) {
      if (!welcome || closed) return
      const leave = [...has].filter((c) => !line.subs.has(c) || again.has(c))
      for (const c of leave) has.delete(c)
      while (leave.length) send({ type: "unsubscribe", channels: leave.splice(0, most) })
      const join = [...line.subs.values()].filter((s) => !has.has(s.channel))
      while (join.length) {
        const part = join.splice(0, most)
        const id = ++ids
        asked.set(id, part.map((s) => s.channel))
        for (const s of part) has.add(s.channel)
        send({ type: "subscribe", id, channels: part.map((s) => ({ channel: s.channel, budget: s.budget, ...s.from })) })
      }
    },
    adopt: () => lane.sync(new Set()),
    send,
    close() {
      closed = true
      env.clock.clear(refresh)
      socket?.close(1000)
    },
  }

  async function open(): Promise<void> {
    if (!env.WebSocket) {
      throw new TwohopError("unsupported", "there is no WebSocket here", "pass one to connect()", { retry: false })
    }
    const token = await tokenOf(env)
    if (closed) return
    const q = token ? "?token=" + encodeURIComponent(token) : ""
    socket = new env.WebSocket(env.base.replace(/^http/, "ws") + "v1/ws" + q, "twohop.v1")
    socket.onmessage = (e: MessageEvent<string>) => {
      if (closed) return
      line.fed(e.data.length)
      receive(JSON.parse(e.data) as Frame)
    }
    socket.onerror = socket.onclose = (e: Event & { code?: number; reason?: string }) => {
      if (closed) return
      if (e.code === 1012) line.ended()
      else line.failed(welcome ? "lost" : "refused", lost(`the WebSocket was closed: ${e.code} ${e.reason}`))
    }
  }

  line.expect(line.forced ? 15_000 : 4000, "refused")
  open().catch((e) => line.failed("refused", asError(e)))
  return lane
}
