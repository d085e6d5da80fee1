// WebSocket (PROTOCOL.md 8): one socket for all channels, and for publishes.

import { asError, lost, TwohopError } from "./errors.js"
import { tokenOf } from "./http.js"
import { ends, list, ofPublish } from "./lane.js"
import type { Lane, Open } from "./lane.js"
import type { Frame } from "./types.js"

/** Channels in one frame. */
const most = 1000

export const ws: Open = (line) => {
  const { env } = line
  /** The channels that are subscribed, and by which frame. */
  const has = new Map<string, unknown>()
  let socket: WebSocket | undefined
  let ids = 0
  let welcome = false
  let closed = false
  let refresh: unknown

  const send = (frame: object): void => socket!.send(JSON.stringify(frame))

  // If that fails, the server ends the connection when the token does, and the next one asks again.
  const renew = (): Promise<unknown> => tokenOf(env).then((token) => send({ type: "token", token }), () => {})

  function receive(f: Frame): void {
    if (f.type === "welcome") {
      welcome = true
      lane.maxMessage = f.maxMessage
      line.expect(2.5 * f.heartbeat!, "lost")
      line.made()
      if (typeof env.token === "function") void renew() // the answer tells how long the token lasts
    } else if (f.type === "ping") send({ type: "pong" })
    else if (f.type === "token") {
      if (f.expires) refresh = env.clock.set(renew, Math.min(Math.max(f.expires * 0.8, 1000), 1e9))
    } else {
      line.frames([f])
      // Without a channel, a whole list may have been refused.
      if (!f.channel) for (const [channel, id] of has) if (id === f.id) receive({ ...f, channel })
      if (ends(f) && !ofPublish(f)) has.delete(f.channel!)
    }
  }

  const lane: Lane & { maxMessage?: number } = {
    sync(again) {
      if (!welcome) return
      const leave = [...has.keys()].filter((c) => !line.subs.has(c) || again.has(c))
      for (const c of leave) has.delete(c)
      while (leave.length) send({ type: "unsubscribe", channels: leave.splice(0, most) })
      const join = [...line.subs.values()].filter((s) => !has.has(s.channel))
      while (join.length) {
        const part = join.splice(0, most)
        const id = ++ids
        for (const s of part) has.set(s.channel, id)
        send({ type: "subscribe", id, channels: list(part) })
      }
    },
    send,
    close() {
      closed = true
      env.clock.clear(refresh)
      socket?.close(1000)
    },
  }

  async function open(): Promise<void> {
    if (!env.WebSocket) {
      throw new TwohopError("unsupported", "no WebSocket", "connect({ WebSocket })", { retry: false })
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
      if (e.code === 1012) line.over()
      else line.broke(welcome ? "lost" : "refused", lost("WebSocket closed: " + e.code + " " + e.reason))
    }
  }

  line.expect(line.forced ? 15_000 : 4000, "refused")
  open().catch((e) => line.broke("refused", asError(e)))
  return lane
}
