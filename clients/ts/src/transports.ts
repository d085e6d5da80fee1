import type { Transports } from "./hub.js"
import { longPoll, poll } from "./poll.js"
import { sse } from "./sse.js"
import { ws } from "./ws.js"

export const transports: Transports = { ws, sse, "long-poll": longPoll, poll }
