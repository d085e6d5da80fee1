// For pages that count bytes: a client with the transports that one names.

import { Client } from "./client.js"
import type { Transports } from "./hub.js"
import type { ConnectOptions } from "./types.js"

/** connect() with these transports only; `auto` goes among them. */
export const connectWith = (transports: Transports, options: ConnectOptions = {}): Client => new Client(options, transports)
